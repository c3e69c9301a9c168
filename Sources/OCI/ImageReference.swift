// SPDX-License-Identifier: Apache-2.0

/// An image as people write it: `host[:port]/path[:tag][@digest]`.
///
/// The host is never implied, since it says which registry is meant. Without a tag and a digest `latest` is meant.
package struct ImageReference: Hashable, Sendable, CustomStringConvertible {
    /// Registry, `host[:port]`, in lower case.
    package let host: String
    /// Repository at that registry.
    package let repository: RepositoryName
    /// Tag, when one was written.
    package let tag: TagName?
    /// Digest, when one was written.
    package let digest: Digest?

    /// Takes the fields as they are.
    package init(host: String, repository: RepositoryName, tag: TagName? = nil, digest: Digest? = nil) {
        self.host = host
        self.repository = repository
        self.tag = tag
        self.digest = digest
    }

    /// Reads a reference.
    ///
    /// - Throws: ``OCIError`` with code `invalidImageReference`, `invalidRepositoryName`, `invalidTag` or
    ///   `invalidDigest`.
    package init(_ string: String) throws(OCIError) {
        guard let slash = string.firstIndex(of: "/"), Authority.isValid(string[..<slash]) else {
            throw OCIError(.invalidImageReference, "image \(string.quoted) does not start with a registry host")
        }
        let path = string[string.index(after: slash)...]
        let halves = path.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let named = halves[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        self.init(
            host: string[..<slash].lowercasedASCII,
            repository: try RepositoryName(String(named[0])),
            tag: named.count > 1 ? try TagName(String(named[1])) : nil,
            digest: halves.count > 1 ? try Digest(String(halves[1])) : nil
        )
    }

    /// What to ask the registry for: the digest when there is one, since a tag beside it is only a label.
    package var reference: Reference {
        if let digest { return .digest(digest) }
        return .tag(tag ?? .latest)
    }

    /// The form that ``init(_:)`` reads.
    package var description: String {
        "\(host)/\(repository)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }
}
