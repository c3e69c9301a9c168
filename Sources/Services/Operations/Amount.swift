// SPDX-License-Identifier: Apache-2.0

/// Amounts as people read them.
package enum Amount {
    /// `512 B`, `1.5 kB`, `20.3 MB`: powers of a thousand, as registries count.
    package static func bytes(_ count: Int64) -> String {
        guard count >= 1_000 else { return "\(count) B" }
        var value = Double(count)
        var unit = ""
        for next in ["kB", "MB", "GB", "TB", "PB"] {
            value /= 1_000
            unit = next
            // 999,950 would be written as 1000.0 of this unit.
            if value < 999.95 { break }
        }
        return "\(tenths(value)) \(unit)"
    }

    /// `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
    package static func duration(_ duration: Duration) -> String {
        let seconds = max(0, duration / .seconds(1))
        guard seconds >= 9.95 else { return "\(tenths(seconds)) s" }
        let whole = Int(seconds.rounded())
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3_600: return "\(whole / 60) min \(whole % 60) s"
        case ..<86_400: return "\(whole / 3_600) h \(whole % 3_600 / 60) min"
        default: return "\(whole / 86_400) d \(whole % 86_400 / 3_600) h"
        }
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
