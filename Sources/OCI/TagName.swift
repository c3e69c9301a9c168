// SPDX-License-Identifier: Apache-2.0

/// The name of a tag, such as `v1.2` or `latest`.
///
/// Grammar of distribution-spec "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
package struct TagName: ValidatedString {
    /// Most characters that a tag may have.
    package static let maximumLength = 128

    /// The tag a client means when it names none.
    package static let latest = TagName(unchecked: "latest")

    /// The whole tag.
    package let rawValue: String

    /// Checks a tag.
    ///
    /// - Throws: ``OCIError`` with code `invalidTag`.
    package init(_ string: String) throws(OCIError) {
        let bytes = string.utf8
        guard let first = bytes.first, first.isAlphanumeric || first == UInt8(ascii: "_") else {
            throw OCIError(.invalidTag, "tag \(string.quoted) does not start with a letter, a digit or an underscore")
        }
        guard bytes.count <= Self.maximumLength else {
            throw OCIError(.invalidTag, "tag \(string.quoted) is longer than \(Self.maximumLength) characters")
        }
        guard bytes.allSatisfy({ $0.isUnreserved && $0 != UInt8(ascii: "~") }) else {
            throw OCIError(
                .invalidTag,
                "tag \(string.quoted) has a character other than letters, digits, '.', '_', '-'"
            )
        }
        rawValue = string
    }

    init(unchecked rawValue: String) {
        self.rawValue = rawValue
    }
}
