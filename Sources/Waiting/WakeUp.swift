// SPDX-License-Identifier: Apache-2.0

/// A hint that waits for one who waits: `wake()` ends the current or the next `wait(atMost:)`. Hints don't add up.
package final class WakeUp: Sendable {
    private let signal = Signal(isLasting: false)

    package init() {}

    package func wake() { signal.raise() }

    /// Returns after `wake()`, or when the task is cancelled.
    package func wait() async { await signal.wait() }

    /// Returns after `wake()`, after the duration, or when the task is cancelled, whichever comes first.
    /// - Returns: whether it was `wake()`.
    @discardableResult
    package func wait(atMost duration: Duration) async -> Bool { await signal.wait(atMost: duration) }
}
