// SPDX-License-Identifier: Apache-2.0

/// The `<name>` of a repository, such as `library/alpine`.
///
/// Grammar of distribution-spec "Pulling manifests": components of lower-case letters and digits, which may contain
/// `.`, `_`, `__` or any number of `-` between them, joined by `/`. At most 255 characters.
package struct RepositoryName: ValidatedString {
    /// Most characters that a name may have; clients refuse longer ones.
    package static let maximumLength = 255

    /// The whole name.
    package let rawValue: String

    /// What is before the first slash, or the whole name.
    package var firstComponent: Substring {
        rawValue.utf8.firstIndex(of: UInt8(ascii: "/")).map { rawValue[..<$0] } ?? rawValue[...]
    }

    /// The parts between slashes; at least one.
    package var components: [String] { rawValue.split(separator: "/").map(String.init) }

    /// Checks a name.
    ///
    /// - Throws: ``OCIError`` with code `invalidRepositoryName`.
    package init(_ string: String) throws(OCIError) {
        guard string.utf8.count <= Self.maximumLength else {
            throw OCIError(
                .invalidRepositoryName,
                "repository name \(string.quoted) is longer than \(Self.maximumLength) characters"
            )
        }
        guard Self.isValid(string) else {
            throw OCIError(.invalidRepositoryName, "repository name \(string.quoted) is not valid")
        }
        rawValue = string
    }

    /// The name without its first components; nil when nothing is left.
    package func dropping(_ count: Int) -> RepositoryName? {
        var rest = rawValue[...]
        for _ in 0..<count {
            guard let slash = rest.utf8.firstIndex(of: UInt8(ascii: "/")) else { return nil }
            rest = rest[rest.utf8.index(after: slash)...]
        }
        return RepositoryName(unchecked: String(rest))
    }

    /// Joins names or components by slashes, for instance an organization and a path below it.
    ///
    /// - Throws: ``OCIError`` with code `invalidRepositoryName`, also when `parts` is empty.
    package init(joining parts: [String]) throws(OCIError) {
        try self.init(parts.joined(separator: "/"))
    }

    /// What is made of components of a name needs no second look.
    private init(unchecked rawValue: String) {
        self.rawValue = rawValue
    }

    /// Every pull comes by here, so nothing is allocated.
    private static func isValid(_ string: String) -> Bool {
        // What came last: the beginning or a slash, a letter or digit, or so many of a separator.
        enum Last: Equatable {
            case slash, alphanumeric
            case separator(UInt8, count: Int)
        }
        var last = Last.slash
        for byte in string.utf8 {
            switch (byte, last) {
            case (UInt8(ascii: "/"), .alphanumeric): last = .slash
            case (UInt8(ascii: "/"), _): return false
            case _ where byte.isLowercaseLetter || byte.isDigit: last = .alphanumeric
            case (UInt8(ascii: "."), .alphanumeric), (UInt8(ascii: "_"), .alphanumeric),
                (UInt8(ascii: "-"), .alphanumeric):
                last = .separator(byte, count: 1)
            case (UInt8(ascii: "_"), .separator(byte, count: 1)), (UInt8(ascii: "-"), .separator(byte, _)):
                last = .separator(byte, count: 2)
            default: return false
            }
        }
        return last == .alphanumeric
    }
}
