// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

@Suite("Amounts and thresholds of quotas")
struct QuotaAmountTests {
    @Test(
        "amounts are read with and without units, of a thousand or of 1,024",
        arguments: [
            ("150MB", 150_000_000), ("150 MB", 150_000_000), ("10GiB", 10 << 30), ("10gib", 10 << 30),
            ("1.5TiB", 3 << 39), ("5000", 5_000), ("5000B", 5_000), ("2k", 2_000), ("0", 0), ("", nil), ("MB", nil),
            ("-1", nil), ("1.2.3", nil), ("10XB", nil), ("99999999999PiB", nil), ("nan", nil),
        ] as [(String, Int64?)]
    )
    func amounts(text: String, bytes: Int64?) { #expect(ByteAmount.parse(text) == bytes) }

    @Test("a threshold is reached at its part of the limit, rounded up, and 100 percent is the limit")
    func thresholds() {
        func bytes(_ percent: Int, of limit: Int64) -> Int64 {
            QuotaThreshold(id: .init(rawValue: 1), kind: .warning, percent: percent).bytes(of: limit)
        }
        #expect(bytes(80, of: 1_000) == 800 && bytes(1, of: 10) == 1 && bytes(33, of: 10) == 4)
        #expect(bytes(100, of: .max) == .max)
        #expect(bytes(99, of: .max) < .max)
    }
}
