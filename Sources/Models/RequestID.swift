// SPDX-License-Identifier: Apache-2.0

/// Names a client's request in the log lines of every process that had to do with it.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    private static let maximumBytes = 128

    /// The request that the current task serves, or does the work of; nil for work that nobody asked for.
    @TaskLocal package static var current: RequestID?

    package let rawValue: String

    /// Nil for text that isn't 1 to 128 letters, digits, and `-._:+/=`: it goes into lines and rows.
    package init?(_ text: String) {
        guard (1...Self.maximumBytes).contains(text.utf8.count),
            text.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"):
                    true
                default: "-._:+/=".utf8.contains(byte)
                }
            })
        else { return nil }
        rawValue = text
    }

    /// 128 random bits.
    package init() {
        let digits = Array("0123456789abcdef".utf8)
        rawValue = String(unsafeUninitializedCapacity: 32) { text in
            for half in 0..<2 {
                var bits = UInt64.random(in: .min ... .max)
                for index in 0..<16 {
                    text[half * 16 + index] = digits[Int(bits & 15)]
                    bits >>= 4
                }
            }
            return 32
        }
    }

    package var description: String { rawValue }
}
