// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

/// Returns after the duration.
///
/// Cancelled, it leaves nothing behind. `Task.sleep` does: its timer goes on, and keeps the task in memory until the time is
/// over. For deadlines, which are long and nearly always cancelled, that is what a busy process would consist of.
/// - Throws: `CancellationError`
package func pause(for duration: Duration) async throws {
    let timer = PauseTimer()
    await withTaskCancellationHandler {
        await withCheckedContinuation { timer.start(duration, $0) }
    } onCancel: {
        timer.end()
    }
    try Task.checkCancellation()
}

private final class PauseTimer: Sendable {
    private struct State {
        var isOver = false
        var source: (any DispatchSourceTimer)?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func start(_ duration: Duration, _ waiter: CheckedContinuation<Void, Never>) {
        let isOver = state.withLock { state in
            guard !state.isOver else { return true }
            let source = DispatchSource.makeTimerSource(queue: .global())
            let nanoseconds = max(0, min(duration / .nanoseconds(1), 1e18))
            source.schedule(deadline: .now() + .nanoseconds(Int(nanoseconds)))
            source.setEventHandler { [self] in end() }
            state.source = source
            state.waiter = waiter
            source.activate()
            return false
        }
        if isOver { waiter.resume() }
    }

    func end() {
        let waiter = state.withLock { state in
            defer { state = State(isOver: true) }
            state.source?.cancel()
            return state.waiter
        }
        waiter?.resume()
    }
}
