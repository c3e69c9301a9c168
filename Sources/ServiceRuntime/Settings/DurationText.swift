// SPDX-License-Identifier: Apache-2.0

/// Durations as people write them: `250ms`, `30s`, `5m`, `2h`, `1d`, `2w`, or seconds.
package enum DurationText {
    private static let units: [(String, Duration)] = [
        ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3_600)),
        ("d", .seconds(86_400)), ("w", .seconds(604_800)), ("", .seconds(1)),
    ]

    /// Nil for what is none, or negative.
    package static func parse(_ text: String) -> Duration? {
        for (suffix, unit) in units where text.hasSuffix(suffix) {
            if let count = Int32(text.dropLast(suffix.count)), count >= 0 { return unit * Int(count) }
        }
        return nil
    }
}
