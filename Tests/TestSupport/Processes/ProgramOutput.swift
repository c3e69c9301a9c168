// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// What a running program has said so far and how it ended, and those who wait for either.
final class ProgramOutput: Sendable {
    private struct State {
        var lines: [String] = []
        var rest: [UInt8] = []
        var status: Int32?
        var waiters: [UInt64: (wanted: String?, continuation: CheckedContinuation<String?, Never>)] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    var lines: [String] { state.withLock { $0.lines } }

    var status: Int32? { state.withLock { $0.status } }

    /// Reads lines until the last writer of the pipe has gone. Blocks.
    func read(from descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == -1 && errno == EINTR { continue }
            guard count > 0 else { return }
            take(buffer[..<count])
        }
    }

    /// Says how the program ended; lines that are still wanted will not come.
    func finish(status: Int32) {
        let waiters = state.withLock { state in
            if !state.rest.isEmpty { state.lines.append(String(decoding: state.rest, as: UTF8.self)) }
            state.rest = []
            state.status = status
            defer { state.waiters = [:] }
            return state.waiters.values.map(\.continuation)
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }

    /// The first line that contains the text, past or to come; without a text, nil at the program's end. Nil too when the
    /// program ends or the time runs out first.
    func wait(for wanted: String?, within limit: Duration) async -> String? {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        return await withTaskGroup(of: String?.self) { group in
            group.addTask { [self] in await wait(as: id, for: wanted) }
            group.addTask {
                try? await Task.sleep(for: limit)  // cancelled when the line came first
                return nil
            }
            let line = await group.next() ?? nil
            group.cancelAll()
            return line
        }
    }

    private func wait(as id: UInt64, for wanted: String?) async -> String? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let known = state.withLock { state -> String?? in
                    if let wanted, let line = state.lines.first(where: { $0.contains(wanted) }) {
                        return .some(line)
                    }
                    if state.status != nil || Task.isCancelled { return .some(nil) }
                    state.waiters[id] = (wanted, continuation)
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume(returning: nil)
        }
    }

    private func take(_ bytes: ArraySlice<UInt8>) {
        let found = state.withLock { state in
            var parts = (state.rest + bytes).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            state.rest = Array(parts.removeLast())
            let lines = parts.map { String(decoding: $0, as: UTF8.self) }
            state.lines += lines
            var found: [(CheckedContinuation<String?, Never>, String)] = []
            for (id, waiter) in state.waiters {
                guard let wanted = waiter.wanted, let line = lines.first(where: { $0.contains(wanted) }) else {
                    continue
                }
                found.append((waiter.continuation, line))
                state.waiters[id] = nil
            }
            return found
        }
        for (continuation, line) in found { continuation.resume(returning: line) }
    }
}
