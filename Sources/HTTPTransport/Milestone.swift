// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Something that one task waits for and another thread reports, once.
final class Milestone<Value: Sendable>: Sendable {
    private enum State {
        case pending(CheckedContinuation<Value, any Error>?)
        case reached(Result<Value, any Error>)
    }

    private let state = Mutex(State.pending(nil))

    /// The first report counts.
    func reach(_ result: Result<Value, any Error>) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, any Error>? in
            guard case .pending(let waiter) = state else { return nil }
            state = .reached(result)
            return waiter
        }
        waiter?.resume(with: result)
    }

    func value() async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let result = state.withLock { state -> Result<Value, any Error>? in
                if case .reached(let result) = state { return result }
                state = .pending(continuation)
                return nil
            }
            if let result { continuation.resume(with: result) }
        }
    }
}
