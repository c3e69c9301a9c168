// SPDX-License-Identifier: Apache-2.0

/// The strong entity tag of content that is addressed by a digest: the digest in quotes (RFC 9110 section 8.8.3).
package struct EntityTag: Hashable, Sendable, CustomStringConvertible {
    /// The tag with its quotes, as in `ETag`.
    package let rawValue: String

    /// The tag of the content with this digest.
    package init(_ digest: Digest) {
        rawValue = "\"\(digest.rawValue)\""
    }

    /// Same as ``rawValue``.
    package var description: String { rawValue }

    /// Compares with `If-Match`, if there is one: strongly (RFC 9110 section 13.1.1), and `*` matches all that exists.
    /// - Throws: ``RegistryError`` 412 when it doesn't name this tag.
    package func checkIfMatch(_ headerValues: [String]) throws(RegistryError) {
        guard !headerValues.isEmpty else { return }
        let isNamed = headerValues.contains { value in
            Self.elements(of: value).contains { $0 == "*" || $0 == rawValue }
        }
        guard isNamed else {
            throw RegistryError(.unsupported, status: 412, message: "If-Match doesn't name what is here: \(rawValue)")
        }
    }

    /// Whether an `If-None-Match` names this tag, so that the answer is 304.
    ///
    /// Compares weakly (RFC 9110 section 13.1.2); `*` matches everything that exists. A tag without quotes is
    /// compared as if it had them: distribution sends such tags, and clients that move here still hold them.
    package func ifNoneMatch(_ headerValues: [String]) -> Bool {
        headerValues.contains { value in
            Self.elements(of: value).contains { element in
                let opaque = element.hasPrefix("W/") ? element.dropFirst(2) : element
                return element == "*" || opaque == rawValue || "\"\(opaque)\"" == rawValue
            }
        }
    }

    /// Whether an `If-Range` lets the range be honoured. Compares strongly (RFC 9110 section 13.1.5); false for a
    /// date, since content here has no modification time, and then everything is sent.
    package func ifRange(_ headerValue: String) -> Bool {
        Substring(Substring(headerValue).utf8.trimmingBlanks()) == rawValue
    }

    /// Splits at commas outside quotes; an opaque tag may contain commas, but no escapes.
    private static func elements(of value: String) -> [Substring] {
        var isQuoted = false
        return Substring(value).utf8
            .split { byte in
                if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
                return byte == UInt8(ascii: ",") && !isQuoted
            }
            .map { Substring($0.trimmingBlanks()) }
    }
}
