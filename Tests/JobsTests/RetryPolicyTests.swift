// SPDX-License-Identifier: Apache-2.0

import Jobs
import Testing

@Suite("Retry policy")
struct RetryPolicyTests {
    /// The same numbers at every run (SplitMix64).
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64 = 1

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
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
        var random = Seeded()
        let ceiling = Duration.milliseconds(milliseconds)
        let delays = (0..<200).map { _ in policy.delay(afterFailures: failures, using: &random) }
        #expect(delays.allSatisfy { $0 >= ceiling / 2 && $0 <= ceiling })
        // All of the room is used.
        #expect(delays.contains { $0 < ceiling * 0.55 })
        #expect(delays.contains { $0 > ceiling * 0.95 })
    }

    @Test("a base beyond the cap is the cap")
    func baseBeyondCap() {
        let policy = RetryPolicy(base: .seconds(60), cap: .seconds(1))
        #expect(policy.delay(afterFailures: 1) <= .seconds(1))
    }

    @Test("two who failed together don't come back together")
    func jitter() {
        let delays = Set((0..<50).map { _ in policy.delay(afterFailures: 4) })
        #expect(delays.count > 25)
        #expect(delays.allSatisfy { $0 >= .milliseconds(800) && $0 <= .milliseconds(1_600) })
    }
}
