// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// A value that can be a bind, in PostgreSQL's text format.
package protocol PostgresEncodable: Sendable {
    /// Object id of the type that is declared for the bind; 0 lets the server infer it from where the bind stands.
    static var postgresType: UInt32 { get }
    var postgresText: String { get }
}

/// A value that can be read from a column, in PostgreSQL's text format.
package protocol PostgresDecodable: Sendable {
    /// Throws ``PostgresError`` `decode` for NULL unless the type is optional, and for text of another type.
    static func decode(_ text: String?, column: String) throws(PostgresError) -> Self
}

/// A type whose text is enough to make it.
package protocol PostgresTextDecodable: PostgresDecodable {
    init?(postgresText: String)
}

extension PostgresTextDecodable {
    package static func decode(_ text: String?, column: String) throws(PostgresError) -> Self {
        guard let text else { throw PostgresError(.decode, "column \(column) is NULL, expected \(Self.self)") }
        guard let value = Self(postgresText: text) else {
            throw PostgresError(.decode, "column \(column) is no \(Self.self)")
        }
        return value
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    package static func decode(_ text: String?, column: String) throws(PostgresError) -> Self {
        guard let text else { return nil }
        return try Wrapped.decode(text, column: column)
    }
}

package typealias PostgresCodable = PostgresEncodable & PostgresTextDecodable

extension String: PostgresCodable {
    package static var postgresType: UInt32 { 0 }
    package var postgresText: String { self }
    package init?(postgresText: String) { self = postgresText }
}

extension Bool: PostgresCodable {
    package static var postgresType: UInt32 { 16 }
    package var postgresText: String { self ? "t" : "f" }
    package init?(postgresText: String) {
        switch postgresText {
        case "t": self = true
        case "f": self = false
        default: return nil
        }
    }
}

extension Int64: PostgresCodable {
    package static var postgresType: UInt32 { 20 }
    package var postgresText: String { String(self) }
    package init?(postgresText: String) { self.init(postgresText) }
}

extension Int: PostgresCodable {
    package static var postgresType: UInt32 { 20 }
    package var postgresText: String { String(self) }
    package init?(postgresText: String) { self.init(postgresText) }
}

extension Double: PostgresCodable {
    package static var postgresType: UInt32 { 701 }
    package var postgresText: String { isNaN ? "NaN" : isInfinite ? (self < 0 ? "-Infinity" : "Infinity") : "\(self)" }
    package init?(postgresText: String) { self.init(postgresText) }
}

extension UUID: PostgresCodable {
    package static var postgresType: UInt32 { 2_950 }
    package var postgresText: String { uuidString }
    package init?(postgresText: String) { self.init(uuidString: postgresText) }
}

extension Data: PostgresCodable {
    package static var postgresType: UInt32 { 17 }

    package var postgresText: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(2 * count + 2)
        text.append(contentsOf: "\\x".utf8)
        for byte in self {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    package init?(postgresText: String) {
        let text = Array(postgresText.utf8)
        guard text.count >= 2, text.count.isMultiple(of: 2), text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x")
        else { return nil }
        var bytes = Data(capacity: text.count / 2 - 1)
        for index in stride(from: 2, to: text.count, by: 2) {
            guard let high = Self.nibble(text[index]), let low = Self.nibble(text[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        self = bytes
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// An array literal (PostgreSQL documentation, section 8.15.2). The statement says the type: `\(ids)::bigint[]`.
extension Array: PostgresEncodable where Element: PostgresEncodable {
    package static var postgresType: UInt32 { 0 }
    package var postgresText: String {
        // Byte by byte: a batch is thousands of items, and searching in strings costs ten times as much.
        var bytes: [UInt8] = [UInt8(ascii: "{")]
        for element in self {
            if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(UInt8(ascii: "\""))
            for byte in element.postgresText.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { bytes.append(UInt8(ascii: "\\")) }
                bytes.append(byte)
            }
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }
}
