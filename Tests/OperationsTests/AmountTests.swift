// SPDX-License-Identifier: Apache-2.0

import Operations
import Testing

@Suite struct AmountTests {
    @Test(
        "bytes are written in the unit that keeps them short",
        arguments: [
            (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_550, "1.6 kB"), (999_949, "999.9 kB"),
            (999_950, "1.0 MB"), (20_300_000, "20.3 MB"), (5_000_000_000, "5.0 GB"), (Int64.max, "9223.4 PB"),
        ]
    )
    func bytes(_ count: Int64, _ text: String) { #expect(Amount.bytes(count) == text) }

    @Test(
        "durations are written with two units at most",
        arguments: [
            (-1, "0.0 s"), (0.04, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"),
            (185, "3 min 5 s"), (7_800, "2 h 10 min"), (97_200, "1 d 3 h"),
        ]
    )
    func durations(_ seconds: Double, _ text: String) { #expect(Amount.duration(.seconds(seconds)) == text) }
}
