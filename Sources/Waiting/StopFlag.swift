// SPDX-License-Identifier: Apache-2.0

/// Set once, seen by everybody who waits for it.
package final class StopFlag: Sendable {
    private let signal = Signal(isLasting: true)

    package init() {}

    package var isSet: Bool { signal.isUp }

    package func set() { signal.raise() }

    /// Returns when it is set or the task is cancelled.
    package func wait() async { await signal.wait() }

    /// Returns when it is set, after the duration, or when the task is cancelled, whichever comes first.
    package func wait(atMost duration: Duration) async { _ = await signal.wait(atMost: duration) }
}
