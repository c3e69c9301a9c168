// SPDX-License-Identifier: Apache-2.0

package import OCI

/// A list that a repository has at its upstream.
package enum RepositoryList: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Distribution-spec end-8.
    case tags
    /// Distribution-spec end-12: what is attached to the manifest of this digest.
    case referrers(Digest)

    package var description: String {
        switch self {
        case .tags: "list of tags"
        case .referrers(let subject): "referrers of \(subject)"
        }
    }
}

/// "What does upstream list?": brings the whole list; pages are cut from it here.
package struct ListFetch: FetchPayload {
    package static let kind = JobKind.listFetch
    package static let queue = JobQueueName.manifests
    package typealias Success = ListFetched

    package let organization: OrganizationID
    package let upstream: String
    /// Generation of the organization's configuration, as in ``ManifestFetch``.
    package let generation: Int64
    /// Canonical name inside the organization.
    package let repository: RepositoryName
    package let list: RepositoryList

    package init(
        _ list: RepositoryList,
        organization: OrganizationID,
        config: ProxyCacheConfig,
        repository: RepositoryName
    ) {
        self.list = list
        self.organization = organization
        self.upstream = config.upstream.baseURL
        self.generation = config.generation
        self.repository = repository
    }

    package var uniqueKey: String {
        switch list {
        case .tags: "\(organization).\(generation)/\(repository) tags"
        case .referrers(let subject): "\(organization).\(generation)/\(repository) referrers \(subject)"
        }
    }
}

/// What a list fetch found. The rows were written before this was.
package struct ListFetched: Hashable, Sendable, Codable {
    package let count: Int

    package init(count: Int) { self.count = count }
}

/// When a list is asked for again. Pure.
package enum ListRules {
    /// Lists are long and upstreams count each request: clients that page, or look again at once, get the same list even
    /// where tags are never fresh.
    package static let shortestFreshness: Duration = .seconds(10)

    /// - Parameter sinceCheck: nil when the list isn't stored
    package static func beforeServing(
        sinceCheck: Duration?,
        config: ProxyCacheConfig,
        upstream: UpstreamHealth
    ) -> TagRules.BeforeServing {
        if let sinceCheck, sinceCheck < max(config.freshness, shortestFreshness) { return .serve }
        return upstream.refusal.map { .failed($0) } ?? .askUpstream
    }
}
