// SPDX-License-Identifier: Apache-2.0

import Jobs
import Testing

@Suite("Retry policy")
struct RetryPolicyTests {
    /// Draws the same number always.
    private struct Constant: RandomNumberGenerator {
        let value: UInt64
        func next() -> UInt64 { value }
    }

    private let policy = RetryPolicy(base: .milliseconds(200), cap: .seconds(30))

    @Test(
        "the ceiling doubles with every failure up to the cap; the delay lies between its half and all of it",
        arguments: [
            (1, 200), (2, 400), (3, 800), (4, 1_600), (5, 3_200), (8, 25_600), (9, 30_000), (30, 30_000),
            (31, 30_000), (32, 30_000), (1_000_000, 30_000), (.max, 30_000),
            // Fewer than one failure is one.
            (0, 200), (-5, 200), (.min, 200),
        ]
    )
    func ceiling(_ failures: Int, _ milliseconds: Int) {
        var low = Constant(value: 0)
        var high = Constant(value: .max)
        let ceiling = Duration.milliseconds(milliseconds)
        #expect(policy.delay(afterFailures: failures, using: &low) == ceiling / 2)
        let longest = policy.delay(afterFailures: failures, using: &high)
        #expect(longest <= ceiling && longest > ceiling * 0.999)
    }

    @Test("a base beyond the cap is the cap")
    func baseBeyondCap() {
        var high = Constant(value: .max)
        let policy = RetryPolicy(base: .seconds(60), cap: .seconds(1))
        #expect(policy.delay(afterFailures: 1, using: &high) <= .seconds(1))
    }

    @Test("two who failed together don't come back together")
    func jitter() {
        let delays = Set((0..<50).map { _ in policy.delay(afterFailures: 4) })
        #expect(delays.count > 25)
        #expect(delays.allSatisfy { $0 >= .milliseconds(800) && $0 <= .milliseconds(1_600) })
    }
}
