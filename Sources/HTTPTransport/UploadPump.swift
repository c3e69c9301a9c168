// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Carries a streamed request body from the task that makes it to the thread that sends it, one chunk ahead.
final class UploadPump: Sendable {
    enum Supply {
        /// So many bytes were copied.
        case bytes(Int)
        /// Nothing yet: the sender pauses until it is resumed.
        case notYet
        case end
        case failed
    }

    private struct State {
        var chunk: [UInt8] = []
        var offset = 0
        /// Bytes of all chunks.
        var total: Int64 = 0
        var isEnded = false
        var error: (any Error)?
        var isPaused = false
        var isStopped = false
        /// The pump waits for the chunk to be used up.
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let next: @Sendable () async throws -> [UInt8]?
    private let transfer: UInt64
    private let length: Int64?
    private let driver: CurlDriver
    private let state = Mutex(State())

    init(
        transfer: UInt64,
        length: Int64?,
        driver: CurlDriver,
        next: @escaping @Sendable () async throws -> [UInt8]?
    ) {
        self.transfer = transfer
        self.length = length
        self.driver = driver
        self.next = next
    }

    var error: (any Error)? { state.withLock { $0.error } }

    /// Makes chunks until the body ends or the transfer does.
    func run() async {
        while true {
            let result: Result<[UInt8]?, any Error>
            do { result = .success(try await next()) } catch { result = .failure(error) }
            let (isDone, resumes) = state.withLock { state in
                take(result, into: &state)
                defer { state.isPaused = false }
                return (state.isEnded || state.error != nil, state.isPaused)
            }
            if resumes { driver.resume(transfer) }
            if isDone { return }
            await untilUsedUp()
        }
    }

    private func take(_ result: Result<[UInt8]?, any Error>, into state: inout State) {
        // Sequences end when they are cancelled: without a length that end can't be told from the body's.
        let isWhole = length.map { state.total == $0 } ?? !Task.isCancelled
        switch result {
        case .success(nil) where isWhole:
            state.isEnded = true
        case _ where state.isStopped:
            state.error = HTTPTransportError(.protocolError, "the answer came before the request was sent whole")
        case .success(nil):
            state.error =
                Task.isCancelled
                ? CancellationError()
                : HTTPTransportError(.other, "the request's body is shorter than it was said to be")
        case .success(let chunk?):
            state.total += Int64(chunk.count)
            if let length, state.total > length {
                state.error = HTTPTransportError(.other, "the request's body is longer than it was said to be")
            }
            (state.chunk, state.offset) = (chunk, 0)
        case .failure(let error):
            state.error = error
        }
    }

    /// The transfer has ended: nothing more is needed.
    func stop() {
        let waiter = state.withLock { state in
            state.isStopped = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Called by the sender.
    func supply(_ room: UnsafeMutableRawBufferPointer) -> Supply {
        let (supply, waiter) = state.withLock { state -> (Supply, CheckedContinuation<Void, Never>?) in
            if state.error != nil { return (.failed, nil) }
            let rest = state.chunk.count - state.offset
            guard rest > 0 else {
                if state.isEnded { return (.end, nil) }
                state.isPaused = true
                return (.notYet, nil)
            }
            let count = min(rest, room.count)
            room.copyBytes(from: state.chunk[state.offset..<state.offset + count])
            state.offset += count
            guard state.offset == state.chunk.count else { return (.bytes(count), nil) }
            defer { state.waiter = nil }
            return (.bytes(count), state.waiter)
        }
        waiter?.resume()
        return supply
    }

    private func untilUsedUp() async {
        await withCheckedContinuation { continuation in
            let isUsedUp = state.withLock { state in
                if state.isStopped || state.offset == state.chunk.count { return true }
                state.waiter = continuation
                return false
            }
            if isUsedUp { continuation.resume() }
        }
    }
}
