// SPDX-License-Identifier: Apache-2.0

/// Byte classes that the grammars of the specifications are made of.
extension UInt8 {
    /// `0`–`9`.
    var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }

    /// `a`–`z`.
    var isLowercaseLetter: Bool { self >= UInt8(ascii: "a") && self <= UInt8(ascii: "z") }

    /// `A`–`Z`.
    var isUppercaseLetter: Bool { self >= UInt8(ascii: "A") && self <= UInt8(ascii: "Z") }

    /// `a`–`z`, `A`–`Z` and `0`–`9`.
    var isAlphanumeric: Bool { isLowercaseLetter || isUppercaseLetter || isDigit }

    /// `0`–`9` and `a`–`f`.
    var isLowercaseHexDigit: Bool { isDigit || (self >= UInt8(ascii: "a") && self <= UInt8(ascii: "f")) }

    /// Space or horizontal tab: OWS in RFC 9110 section 5.6.3.
    var isBlank: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }

    /// C0 control or DEL.
    var isControl: Bool { self < 0x20 || self == 0x7F }

    /// RFC 9110 section 5.6.2, `tchar`.
    var isTokenCharacter: Bool {
        if isAlphanumeric { return true }
        switch self {
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            return true
        default: return false
        }
    }

    /// RFC 3986 section 2.3, `unreserved`.
    var isUnreserved: Bool {
        isAlphanumeric || self == UInt8(ascii: "-") || self == UInt8(ascii: ".") || self == UInt8(ascii: "_")
            || self == UInt8(ascii: "~")
    }

    /// The value of a hexadecimal digit of either case, nil for any other byte.
    var hexValue: UInt8? {
        if isDigit { return self - UInt8(ascii: "0") }
        switch lowercasedASCII {
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return lowercasedASCII - UInt8(ascii: "a") + 10
        default: return nil
        }
    }

    /// The lower-case form of `A`–`Z`; every other byte as it is.
    var lowercasedASCII: UInt8 { isUppercaseLetter ? self | 0x20 : self }
}

extension StringProtocol {
    /// Lower-cases `A`–`Z` only: header grammar is ASCII, and Unicode case mapping could make new ASCII letters.
    var lowercasedASCII: String { String(decoding: utf8.map(\.lowercasedASCII), as: UTF8.self) }
}
