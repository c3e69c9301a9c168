// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Glibc
import Synchronization

/// A program that a test runs, with its lines kept. Killed at the latest when the test lets go of it; the kernel kills it
/// when the test process dies.
package final class TestProcess: Sendable {
    private struct State {
        var lines: [String] = []
        var rest = ""
        var status: Int32?
        var startFailure: (any Error)?
        var waiters: [UInt64: (wanted: String?, continuation: CheckedContinuation<String?, Never>)] = [:]
        var next: UInt64 = 0
    }

    package let name: String
    private let process: Process
    private let state = Mutex(State())

    /// - Parameter environment: added to our own
    package init(_ path: String, _ arguments: [String] = [], environment: [String: String] = [:]) throws {
        name = URL(filePath: path).lastPathComponent
        process = Process()
        process.executableURL = URL(filePath: "/usr/bin/setpriv")
        process.arguments = ["--pdeathsig=KILL", "--", path] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        let feed = output.fileHandleForReading
        let hasStarted = DispatchSemaphore(value: 0)
        // The kernel kills the program when the *thread* that started it ends, and threads of the cooperative pool end
        // after some idle seconds. So the thread that reads its lines starts it.
        let reader = Thread { [weak self, process] in
            do { try process.run() } catch {
                self?.state.withLock { $0.startFailure = error }
                return _ = hasStarted.signal()
            }
            hasStarted.signal()
            while true {
                let data = feed.availableData
                if data.isEmpty { break }
                self?.take(String(decoding: data, as: UTF8.self))
            }
            self?.finish()
        }
        reader.start()
        hasStarted.wait()
        if let failure = state.withLock({ $0.startFailure }) { throw failure }
    }

    deinit { if process.isRunning { Glibc.kill(processID, SIGKILL) } }

    package var processID: Int32 { process.processIdentifier }

    package var lines: [String] { state.withLock { $0.lines } }

    package func kill(_ signal: Int32) { Glibc.kill(processID, signal) }

    /// The first line that contains the text, past or to come.
    @discardableResult
    package func line(containing text: String, within limit: Duration = .seconds(30)) async throws -> String {
        if let line = await wait(for: text, within: limit) { return line }
        throw TestSupportError("\(name) never said \"\(text)\":\n\(lines.suffix(30).joined(separator: "\n"))")
    }

    /// Exit status, or the negative number of the signal that ended it.
    package func exitStatus(within limit: Duration = .seconds(30)) async throws -> Int32 {
        _ = await wait(for: nil, within: limit)
        guard let status = state.withLock({ $0.status }) else { throw TestSupportError("\(name) doesn't end") }
        return status
    }

    /// Ends it and waits for its end.
    @discardableResult
    package func stop(_ signal: Int32 = SIGTERM, within limit: Duration = .seconds(30)) async throws -> Int32 {
        kill(signal)
        return try await exitStatus(within: limit)
    }

    /// Peak resident memory in bytes.
    package func peakMemoryBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(processID)/status", encoding: .utf8)
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
            let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw TestSupportError("no VmHWM for \(name)") }
        return kilobytes * 1024
    }

    private func take(_ text: String) {
        let found = state.withLock { state in
            var parts = (state.rest + text).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            state.rest = parts.removeLast()
            state.lines += parts
            var found: [(CheckedContinuation<String?, Never>, String)] = []
            for (id, waiter) in state.waiters {
                guard let wanted = waiter.wanted, let line = parts.first(where: { $0.contains(wanted) }) else {
                    continue
                }
                found.append((waiter.continuation, line))
                state.waiters[id] = nil
            }
            return found
        }
        for (continuation, line) in found { continuation.resume(returning: line) }
    }

    private func finish() {
        process.waitUntilExit()
        let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
        let waiters = state.withLock { state in
            state.status = status
            defer { state.waiters = [:] }
            return state.waiters.values.map(\.continuation)
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }

    private func wait(for wanted: String?, within limit: Duration) async -> String? {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        return await withTaskGroup(of: String?.self) { group in
            group.addTask { [self] in
                await withCheckedContinuation { continuation in
                    let known = state.withLock { state -> String?? in
                        if let wanted, let line = state.lines.first(where: { $0.contains(wanted) }) {
                            return .some(line)
                        }
                        if state.status != nil { return .some(nil) }
                        state.waiters[id] = (wanted, continuation)
                        return nil
                    }
                    if let known { continuation.resume(returning: known) }
                }
            }
            group.addTask { [self] in
                _ = try? await Task.sleep(for: limit)  // cancelled when the line came first
                state.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume(returning: nil)
                return nil
            }
            let line = await group.next() ?? nil
            group.cancelAll()
            return line
        }
    }
}
