// SPDX-License-Identifier: Apache-2.0

/// Exponential backoff with full jitter, so that many who failed together don't come back together.
package struct RetryPolicy: Sendable, Hashable {
    package let base: Duration
    package let cap: Duration

    package init(base: Duration, cap: Duration) {
        self.base = base
        self.cap = cap
    }

    /// Delay before the attempt after `failures` failed ones (1 or more).
    package func delay(
        afterFailures failures: Int,
        using generator: inout some RandomNumberGenerator
    ) -> Duration {
        let doublings = min(max(failures, 1) - 1, 30)
        let ceiling = min(cap, base * (1 << doublings))
        // Never less than half, or a jitter near zero would make a busy loop out of the backoff.
        return ceiling * Double.random(in: 0.5...1, using: &generator)
    }

    package func delay(afterFailures failures: Int) -> Duration {
        var generator = SystemRandomNumberGenerator()
        return delay(afterFailures: failures, using: &generator)
    }
}
