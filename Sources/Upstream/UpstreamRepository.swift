// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI

/// One repository at one upstream, under the configuration that led there.
package struct UpstreamRepository: Hashable, Sendable, CustomStringConvertible {
    package let address: UpstreamAddress
    /// The repository's name at the upstream.
    package let name: RepositoryName
    package let organization: OrganizationID
    /// Hosts beside the upstream's own that may issue its tokens, as the organization lists them.
    package let realmHosts: [String]
    /// Generation of the organization's configuration: what an older one obtained isn't used for it.
    package let generation: Int64
    /// What is wanted of it, in the words of the token protocol; empty for no more than being let in.
    let scope: String

    package init(
        address: UpstreamAddress,
        name: RepositoryName,
        organization: OrganizationID,
        generation: Int64,
        realmHosts: [String] = []
    ) {
        self.address = address
        self.realmHosts = realmHosts
        self.name = name
        self.organization = organization
        self.generation = generation
        scope = "repository:\(name):pull"
    }

    /// The registry as a whole, to log in to and no more.
    init(loginTo address: UpstreamAddress, as organization: OrganizationID, realmHosts: [String]) throws(OCIError) {
        self.address = address
        self.realmHosts = realmHosts
        name = try RepositoryName("login")
        self.organization = organization
        generation = 0
        scope = ""
    }

    package var description: String { "\(address.registry)/\(name)" }

    func manifestURL(_ reference: Reference) -> String {
        "\(address.baseURL)/v2/\(name)/manifests/\(reference)"
    }

    var tagsURL: String { "\(address.baseURL)/v2/\(name)/tags/list" }

    func referrersURL(_ subject: Digest) -> String {
        "\(address.baseURL)/v2/\(name)/referrers/\(subject)"
    }

    func blobURL(_ digest: Digest) -> String {
        "\(address.baseURL)/v2/\(name)/blobs/\(digest)"
    }
}
