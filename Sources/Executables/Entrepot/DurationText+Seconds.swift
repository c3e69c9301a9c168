// SPDX-License-Identifier: Apache-2.0

import ServiceRuntime

extension DurationText {
    /// Whole seconds, ten years at the most.
    /// - Throws: ``SettingsError`` that names the option
    static func seconds(_ text: String, _ option: String) throws -> Int64 {
        guard let duration = parse(text), duration <= .seconds(10 * 366 * 86_400),
            duration == .seconds(duration.components.seconds)
        else { throw SettingsError("\(option) \(text): expected a duration such as 30s, 5m, 2h, 1d or 2w") }
        return duration.components.seconds
    }
}
