// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI

/// An image to fetch ahead, as clients name it behind the host: `ORG/IMAGE[:TAG][@DIGEST]`.
package struct WarmTarget: Sendable, Hashable, CustomStringConvertible {
    package let organization: OrganizationName
    /// As it was written.
    package let repository: RepositoryName
    /// The digest when there is one; `latest` when there is neither.
    package let reference: Reference

    /// Throws ``ModelError`` that names the text.
    package init(_ text: String) throws(ModelError) {
        let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let named = halves[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let slash = named[0].firstIndex(of: "/") else {
            throw ModelError("image \"\(text)\": expected ORG/IMAGE[:TAG][@DIGEST]")
        }
        organization = try OrganizationName(String(named[0][..<slash]))
        do {
            repository = try RepositoryName(String(named[0][named[0].index(after: slash)...]))
            let tag = named.count > 1 ? try TagName(String(named[1])) : .latest
            reference = halves.count > 1 ? .digest(try Digest(String(halves[1]))) : .tag(tag)
        } catch {
            throw ModelError("image \"\(text)\": \(error.message)")
        }
    }

    package var description: String {
        switch reference {
        case .tag(let tag): "\(organization)/\(repository):\(tag)"
        case .digest(let digest): "\(organization)/\(repository)@\(digest)"
        }
    }
}
