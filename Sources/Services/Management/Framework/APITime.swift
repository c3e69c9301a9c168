// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Times as the model's clients read and write them.
enum APITime {
    /// Seconds since 1970 that are read, to the end of the year 9999: PostgreSQL knows times that nobody means.
    static let known: Range<Double> = 0..<253_402_300_800

    /// As in `Tue, 14 Jul 2026 09:30:00 -0000` (RFC 5322), from seconds since 1970.
    static func text(_ seconds: Double) -> String {
        let style = Date.VerbatimFormatStyle(
            format: """
                \(weekday: .abbreviated), \(day: .twoDigits) \(month: .abbreviated) \(year: .defaultDigits) \
                \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\
                \(second: .twoDigits) -0000
                """,
            locale: Locale(identifier: "en_US_POSIX"),
            timeZone: .gmt,
            calendar: Calendar(identifier: .gregorian)
        )
        return Date(timeIntervalSince1970: seconds).formatted(style)
    }

    /// Reads `%m/%d/%Y`, the beginning of that day (UTC), or ISO 8601 with a time. Throws ``APIError`` that names the field.
    static func date(_ text: String, _ name: String) throws -> Date {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        if parts.count == 3, let month = parts[0], let day = parts[1], let year = parts[2], (1970...9999).contains(year)
        {
            var calendar = Calendar(identifier: .gregorian)
            calendar.timeZone = .gmt
            let components = DateComponents(year: year, month: month, day: day)
            if components.isValidDate(in: calendar), let date = calendar.date(from: components) { return date }
        } else if let date = try? Date(text, strategy: .iso8601), known.contains(date.timeIntervalSince1970) {
            // The error says nothing that ours doesn't.
            return date
        }
        throw APIError.invalid("\(name): expected MM/DD/YYYY or a time such as 2026-07-14T09:30:00Z")
    }
}
