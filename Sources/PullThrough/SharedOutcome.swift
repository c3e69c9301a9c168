// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One outcome for any number of waiters: every one of them gets the same value or the same error.
final class SharedOutcome<Value: Sendable>: Sendable {
    private struct Waiter {
        let isPatient: Bool
        let continuation: CheckedContinuation<Value, any Error>
    }

    private struct State {
        var result: Result<Value, any Error>?
        /// What those are told who don't wait for as long as it takes.
        var lateness: (any Error)?
        var waiters: [UInt64: Waiter] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The first call counts.
    func resolve(_ result: Result<Value, any Error>) {
        let waiters = state.withLock { state -> [UInt64: Waiter] in
            guard state.result == nil else { return [:] }
            state.result = result
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter.continuation.resume(with: result) }
    }

    /// Tells impatient waiters, those that are here and those that come before the outcome, that it takes too long.
    func isLate(_ error: any Error) {
        let impatient = state.withLock { state in
            guard state.result == nil else { return [UInt64: Waiter]() }
            state.lateness = error
            let impatient = state.waiters.filter { !$0.value.isPatient }
            for id in impatient.keys { state.waiters[id] = nil }
            return impatient
        }
        for waiter in impatient.values { waiter.continuation.resume(throwing: error) }
    }

    /// Waits for the outcome; a waiter that is cancelled leaves the others alone.
    /// - Parameter isPatient: whether to wait for as long as it takes
    /// - Throws: also what ``isLate(_:)`` was called with, for who isn't patient
    func value(isPatient: Bool = true) async throws -> Value {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<Value, any Error>? in
                    if let result = state.result { return result }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if !isPatient, let lateness = state.lateness { return .failure(lateness) }
                    state.waiters[id] = Waiter(isPatient: isPatient, continuation: continuation)
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }
}
