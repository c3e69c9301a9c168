// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

@Suite("Stream rules")
struct StreamRulesTests {
    @Test(
        "the end of an unverified blob is held back",
        arguments: [
            // stored, size, verified, releasable
            (0, 1_000_000, false, 0),
            (500_000, 1_000_000, false, 500_000),
            (1_000_000, 1_000_000, false, 1_000_000 - 65_536),
            (1_000_000, 1_000_000, true, 1_000_000),
            (100, 100, false, 0),
            (100, 100, true, 100),
            (0, 0, false, 0),
            (0, 0, true, 0),
            (200, 100, false, 0),
            (200, 100, true, 100),
        ] as [(Int64, Int64, Bool, Int64)]
    )
    func releasable(_ stored: Int64, _ size: Int64, _ isVerified: Bool, _ expected: Int64) {
        #expect(StreamRules.releasable(stored: stored, size: size, isVerified: isVerified) == expected)
    }

    @Test(
        "a blob can never be released whole before it is verified",
        arguments: [1, 2, 65_535, 65_536, 65_537, 1 << 40]
    )
    func neverWhole(_ size: Int64) {
        #expect(StreamRules.releasable(stored: size, size: size, isVerified: false) < size)
    }
}
