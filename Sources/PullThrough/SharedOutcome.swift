// SPDX-License-Identifier: Apache-2.0

import Waiting

/// One outcome for any number of waiters: every one of them gets the same value or the same error.
final class SharedOutcome<Value: Sendable>: Sendable {
    private struct State {
        var result: Result<Value, any Error>?
        /// What those are told who don't wait for as long as it takes.
        var lateness: (any Error)?
    }

    private enum Patience {
        case limited, unlimited
    }

    private let room = WaitingRoom<State, Patience, Value>(State()) { patience, state in
        if let result = state.result { return result }
        guard patience == .limited, let lateness = state.lateness else { return nil }
        return .failure(lateness)
    }

    /// The first call counts.
    func resolve(_ result: Result<Value, any Error>) {
        room.update { state in
            if state.result == nil { state.result = result }
        }
    }

    /// Tells impatient waiters, those that are here and those that come before the outcome, that it takes too long.
    func isLate(_ error: any Error) {
        room.update { $0.lateness = error }
    }

    /// Waits for the outcome; a waiter that is cancelled leaves the others alone.
    /// - Parameter isPatient: whether to wait for as long as it takes
    /// - Throws: also what ``isLate(_:)`` was called with, for who isn't patient
    func value(isPatient: Bool = true) async throws -> Value {
        try await room.answer(to: isPatient ? .unlimited : .limited)
    }
}
