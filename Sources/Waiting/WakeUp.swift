// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A hint that waits for one who waits: `wake()` ends the current or the next `wait(atMost:)`. Hints don't add up.
package final class WakeUp: Sendable {
    private struct State {
        var isSet = false
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    package func wake() {
        let waiters = state.withLock { state in
            let waiters = state.waiters
            state.waiters = [:]
            state.isSet = waiters.isEmpty
            return waiters
        }
        for continuation in waiters.values { continuation.resume() }
    }

    /// Returns after `wake()`, after the duration, or when the task is cancelled, whichever comes first.
    /// - Returns: whether it was `wake()`.
    @discardableResult
    package func wait(atMost duration: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await self.wait()
                return !Task.isCancelled
            }
            group.addTask {
                _ = try? await pause(for: duration)  // cancellation ends the wait, as promised
                return false
            }
            let isWoken = await group.next() ?? false
            group.cancelAll()
            return isWoken
        }
    }

    /// Returns after `wake()`, or when the task is cancelled.
    package func wait() async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if Task.isCancelled { return true }  // the hint is for one who still waits
                    if state.isSet {
                        state.isSet = false
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
}
