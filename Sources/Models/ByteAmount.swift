// SPDX-License-Identifier: Apache-2.0

/// Amounts of bytes as people write them: `150MB`, `10 GiB`, `1.5TiB`.
package enum ByteAmount {
    /// A thousand each, or 1,024 each with an `i`.
    private static let units: [String: Double] = {
        var units: [String: Double] = ["": 1, "b": 1]
        for (power, letter) in "kmgtp".enumerated() {
            var decimal = 1_000.0
            var binary = 1_024.0
            for _ in 0..<power {
                decimal *= 1_000
                binary *= 1_024
            }
            units["\(letter)"] = decimal
            units["\(letter)b"] = decimal
            units["\(letter)ib"] = binary
        }
        return units
    }()

    /// Nil for what is no such amount, negative or more than a 64-bit number holds.
    package static func parse(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
        guard let number = Double(digits), number.isFinite, let factor = units[unit] else { return nil }
        let bytes = (number * factor).rounded()
        return bytes < 9e18 ? Int64(bytes) : nil
    }

    /// In the largest unit of 1,024 that says it exactly enough: `10.0 GiB`.
    package static func text(_ bytes: Int64) -> String {
        var amount = Double(bytes)
        for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
            if amount < 1_024 { return unit == "B" ? "\(bytes) B" : "\((amount * 10).rounded() / 10) \(unit)" }
            amount /= 1_024
        }
        return "\((amount * 10).rounded() / 10) PiB"
    }
}
