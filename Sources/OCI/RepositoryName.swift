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
        let components = string.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard components.allSatisfy(Self.isComponent) else {
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

    private static func isComponent(_ bytes: Substring.UTF8View) -> Bool {
        var separator: [UInt8] = []
        var isEmpty = true
        for byte in bytes {
            if byte.isLowercaseLetter || byte.isDigit {
                guard separator.isEmpty || (!isEmpty && isSeparator(separator)) else { return false }
                separator.removeAll(keepingCapacity: true)
                isEmpty = false
            } else {
                separator.append(byte)
            }
        }
        return !isEmpty && separator.isEmpty
    }

    private static func isSeparator(_ bytes: [UInt8]) -> Bool {
        switch bytes {
        case [UInt8(ascii: ".")], [UInt8(ascii: "_")], [UInt8(ascii: "_"), UInt8(ascii: "_")]: true
        default: bytes.allSatisfy { $0 == UInt8(ascii: "-") }
        }
    }
}
