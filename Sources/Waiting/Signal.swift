// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A flag, and the tasks that wait until it is up.
final class Signal: Sendable {
    private struct State {
        var isUp = false
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let isLasting: Bool
    private let state = Mutex(State())

    /// - Parameter isLasting: whether it stays up; if not, it ends the current waits, or else the next one, and is down again
    init(isLasting: Bool) { self.isLasting = isLasting }

    var isUp: Bool { state.withLock { $0.isUp } }

    func raise() {
        let waiters = state.withLock { state in
            let waiters = state.waiters
            state.waiters = [:]
            state.isUp = isLasting || waiters.isEmpty
            return waiters
        }
        for continuation in waiters.values { continuation.resume() }
    }

    /// Returns when it is up, or when the task is cancelled.
    func wait() async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if Task.isCancelled { return true }  // it is for one who still waits
                    if state.isUp {
                        state.isUp = isLasting
                        return true
                    }
                    state.waiters[id] = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }

    /// Returns when it is up, after the duration, or when the task is cancelled, whichever comes first.
    /// - Returns: whether it was up
    func wait(atMost duration: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await self.wait()
                return !Task.isCancelled
            }
            group.addTask {
                _ = try? await pause(for: duration)  // cancellation ends the wait, as promised
                return false
            }
            let isRaised = await group.next() ?? false
            group.cancelAll()
            return isRaised
        }
    }
}
