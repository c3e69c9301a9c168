// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

/// Hashing a password takes a core and 32 MiB: it is done one at a time, in the order in which it is asked for.
final class HashingLine: Sendable {
    private struct State {
        var isTaken = false
        var nextWaiter: UInt64 = 0
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    }

    private let queue = DispatchQueue(label: "entrepot.password-hashing")
    private let state = Mutex(State())

    /// Runs `body` when it is its turn, and nobody else's meanwhile.
    /// - Parameter maximum: of those who may wait before it
    /// - Throws: ``Authenticator/TooBusy`` at once when there are more; `CancellationError`; what `body` throws
    func turn<Value>(behind maximum: Int, _ body: () async throws -> Value) async throws -> Value {
        try await enter(behind: maximum)
        defer { leave() }
        return try await body()
    }

    /// Does what takes long, on a thread of its own.
    func compute<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try work() }) }
        }
    }

    private func enter(behind maximum: Int) async throws {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let result = state.withLock { state -> Result<Void, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    guard state.isTaken else {
                        state.isTaken = true
                        return .success(())
                    }
                    guard state.waiters.count < maximum else { return .failure(Authenticator.TooBusy()) }
                    state.waiters.append((id, continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters.remove(at: index).continuation
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    private func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard !state.waiters.isEmpty else {
                state.isTaken = false
                return nil
            }
            return state.waiters.removeFirst().continuation
        }
        next?.resume()
    }
}
