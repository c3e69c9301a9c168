// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Between the thread that receives and the task that reads, with room for a little only.
final class BodyBuffer: Sendable {
    private static let highWater = 256 * 1024
    private static let lowWater = 64 * 1024

    private struct State {
        var transfer: UInt64 = 0
        var chunks: [[UInt8]] = []
        var next = 0
        var bytes = 0
        var isPaused = false
        var end: Result<Void, any Error>?
        var waiter: CheckedContinuation<[UInt8]?, any Error>?
    }

    private let driver: CurlDriver
    private let state = Mutex(State())

    init(driver: CurlDriver) { self.driver = driver }

    func attach(_ transfer: UInt64) { state.withLock { $0.transfer = transfer } }

    /// Takes a copy of the bytes. False when there is no room: the sender pauses and offers them again later.
    func offer(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let chunk = Array(bytes)
        let outcome = state.withLock { state -> (isTaken: Bool, waiter: CheckedContinuation<[UInt8]?, any Error>?) in
            if let waiter = state.waiter {
                state.waiter = nil
                return (true, waiter)
            }
            guard state.bytes < Self.highWater else {
                state.isPaused = true
                return (false, nil)
            }
            state.chunks.append(chunk)
            state.bytes += chunk.count
            return (true, nil)
        }
        outcome.waiter?.resume(returning: chunk)
        return outcome.isTaken
    }

    func finish(_ result: Result<Void, any Error>) {
        let waiter = state.withLock { state in
            if state.end == nil { state.end = result }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(with: result.map { nil })
    }

    func next() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (result, resumes) = state.withLock { take(from: &$0, or: continuation) }
                if let resumes { driver.resume(resumes) }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            abandon()
            finish(.failure(CancellationError()))
        }
    }

    /// Nobody will read on.
    func abandon() {
        let transfer = state.withLock { $0.end == nil ? $0.transfer : nil }
        if let transfer { driver.cancel(transfer) }
    }

    /// What the reader gets now, and the transfer that may go on; or the reader waits.
    private func take(
        from state: inout State,
        or continuation: CheckedContinuation<[UInt8]?, any Error>
    ) -> (Result<[UInt8]?, any Error>?, UInt64?) {
        if state.next < state.chunks.count {
            let chunk = state.chunks[state.next]
            state.next += 1
            state.bytes -= chunk.count
            if state.next == state.chunks.count {
                state.chunks = []
                state.next = 0
            }
            guard state.isPaused, state.bytes <= Self.lowWater else { return (.success(chunk), nil) }
            state.isPaused = false
            return (.success(chunk), state.transfer)
        }
        if let end = state.end { return (end.map { nil }, nil) }
        if Task.isCancelled { return (.failure(CancellationError()), nil) }
        state.waiter = continuation
        guard state.isPaused else { return (nil, nil) }
        state.isPaused = false
        return (nil, state.transfer)
    }
}
