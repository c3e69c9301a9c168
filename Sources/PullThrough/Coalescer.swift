// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Lets those who ask for the same thing at the same time share one answer. Nothing is remembered once it is there.
///
/// A burst of clients would otherwise be a burst of equal queries, and of database connections opened for them.
package final class Coalescer<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let open = Mutex<[Key: SharedOutcome<Value>]>([:])

    package init() {}

    /// Who asks first does the work; the others get what comes of it. When the first one is cancelled, another one of
    /// them does it.
    package func value(for key: Key, _ work: () async throws -> Value) async throws -> Value {
        while true {
            let (outcome, isMine) = open.withLock { open in
                if let outcome = open[key] { return (outcome, false) }
                let outcome = SharedOutcome<Value>()
                open[key] = outcome
                return (outcome, true)
            }
            guard isMine else {
                do { return try await outcome.value() } catch is CancellationError where !Task.isCancelled { continue }
            }
            let result: Result<Value, any Error>
            do { result = .success(try await work()) } catch { result = .failure(error) }
            open.withLock { $0[key] = nil }
            outcome.resolve(result)
            return try result.get()
        }
    }
}
