// SPDX-License-Identifier: Apache-2.0

/// What becomes of a cached tag that upstream says it hasn't (any more). The copy is never deleted for it.
package enum UpstreamDeletePolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Served inside the staleness period, as if upstream had failed.
    case serve
    /// Answered with upstream's own 404.
    case hide
}

/// What becomes of an image that is larger than its organization's whole quota.
package enum OversizedPolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Cached, over the limit.
    case overflow
    /// Streamed to the client, not kept.
    case bypass
    /// Refused.
    case reject
}

/// Upstream settings of a proxy organization.
package struct ProxyCacheConfig: Hashable, Sendable {
    package let upstream: UpstreamAddress
    /// How long a resolved tag is served without asking upstream; zero asks at every pull.
    package let freshness: Duration
    /// Lifetime of a cached tag, renewed at every pull; nil for tags that never expire.
    package let expiration: Duration?
    /// How long after its last successful check a tag is still served while upstream fails; nil for as long as it lives.
    package let staleness: Duration?
    package let onUpstreamDelete: UpstreamDeletePolicy
    package let oversized: OversizedPolicy
    /// Hosts (with port, if it isn't 443) beside the upstream's own that may issue its tokens.
    package let realmHosts: [String]
    /// Platforms (`os/architecture[/variant]`) whose images are fetched as soon as their index is pulled.
    package let platforms: [String]
    /// Hosts that foreign layers may be fetched from.
    package let foreignLayerHosts: [String]
    /// Grows with every change of the configuration; part of the key of whatever was derived from it.
    package let generation: Int64

    /// - Parameter staleness: the expiration unless it is given
    package init(
        upstream: UpstreamAddress,
        freshness: Duration = .zero,
        expiration: Duration? = .seconds(86_400),
        staleness: Duration? = nil,
        onUpstreamDelete: UpstreamDeletePolicy = .serve,
        oversized: OversizedPolicy = .overflow,
        realmHosts: [String] = [],
        platforms: [String] = [],
        foreignLayerHosts: [String] = [],
        generation: Int64 = 1
    ) {
        self.upstream = upstream
        self.freshness = freshness
        self.expiration = expiration
        self.staleness = staleness ?? expiration
        self.onUpstreamDelete = onUpstreamDelete
        self.oversized = oversized
        self.realmHosts = realmHosts
        self.platforms = platforms
        self.foreignLayerHosts = foreignLayerHosts
        self.generation = generation
    }
}

/// Tenant namespace: the first path component of what clients pull.
package struct Organization: Hashable, Sendable {
    package let id: OrganizationID
    package let name: OrganizationName
    /// Nil for an organization that proxies nothing (any more): only what is cached is served.
    package let proxyCache: ProxyCacheConfig?
    /// Whether everybody may pull, logged in or not.
    package let isPublic: Bool
    /// How long ended tags can be revived; nil for as long as the deployment says.
    package let timeMachine: Duration?
    /// Which images are served, by what the scanner says of them.
    package let scanPolicy: ScanPolicy

    package init(
        id: OrganizationID,
        name: OrganizationName,
        proxyCache: ProxyCacheConfig?,
        isPublic: Bool = false,
        timeMachine: Duration? = nil,
        scanPolicy: ScanPolicy = .off
    ) {
        self.id = id
        self.name = name
        self.proxyCache = proxyCache
        self.isPublic = isPublic
        self.timeMachine = timeMachine
        self.scanPolicy = scanPolicy
    }

    /// The same without its upstream: only what is cached is served.
    package var withoutUpstream: Organization {
        Organization(
            id: id,
            name: name,
            proxyCache: nil,
            isPublic: isPublic,
            timeMachine: timeMachine,
            scanPolicy: scanPolicy
        )
    }
}
