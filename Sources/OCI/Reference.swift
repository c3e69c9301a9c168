// SPDX-License-Identifier: Apache-2.0

/// The `<reference>` of a manifest: a tag or a digest. Coded as one plain string.
package enum Reference: Hashable, Sendable {
    /// A name that may point to another manifest tomorrow.
    case tag(TagName)
    /// The manifest itself, for ever.
    case digest(Digest)

    /// Reads a reference. A tag cannot contain a colon and a digest must, so a colon decides.
    ///
    /// - Throws: ``OCIError`` with code `invalidTag` or `invalidDigest`.
    package init(parsing string: String) throws(OCIError) {
        if string.utf8.contains(UInt8(ascii: ":")) {
            self = .digest(try Digest(string))
        } else {
            self = .tag(try TagName(string))
        }
    }

    /// The tag, when it is one.
    package var tag: TagName? {
        if case .tag(let tag) = self { tag } else { nil }
    }

    /// The digest, when it is one.
    package var digest: Digest? {
        if case .digest(let digest) = self { digest } else { nil }
    }
}

extension Reference: ValidatedString {
    /// The tag or the digest.
    package var rawValue: String {
        switch self {
        case .tag(let tag): tag.rawValue
        case .digest(let digest): digest.rawValue
        }
    }

    /// Same as ``init(parsing:)``.
    package init(_ string: String) throws(OCIError) {
        try self.init(parsing: string)
    }
}
