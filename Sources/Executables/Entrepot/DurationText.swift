// SPDX-License-Identifier: Apache-2.0

import ServiceRuntime

/// Durations as people write them: `30s`, `5m`, `2h`, `1d`, `2w`.
enum DurationText {
    private static let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800]

    /// Throws ``SettingsError`` that names the option.
    static func seconds(_ text: String, _ option: String) throws -> Int64 {
        guard let last = text.last, let unit = units[last], let count = Int64(text.dropLast()), count >= 0,
            count <= 10 * 366 * 86_400 / unit
        else { throw SettingsError("\(option) \(text): expected a duration such as 30s, 5m, 2h, 1d or 2w") }
        return count * unit
    }
}
