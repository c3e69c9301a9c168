// SPDX-License-Identifier: Apache-2.0

/// Upstream settings of a proxy organization.
package struct ProxyCacheConfig: Hashable, Sendable {
    package let upstream: UpstreamAddress
    /// How long a resolved tag is served without asking upstream; zero asks at every pull.
    package let freshness: Duration
    /// Lifetime of a cached tag, renewed at every pull.
    package let expiration: Duration
    /// How long after its last successful check a tag is still served while upstream fails.
    package let staleness: Duration
    /// Grows with every change of the configuration; part of the key of whatever was derived from it.
    package let generation: Int64

    package init(
        upstream: UpstreamAddress,
        freshness: Duration = .zero,
        expiration: Duration = .seconds(86_400),
        staleness: Duration? = nil,
        generation: Int64 = 1
    ) {
        self.upstream = upstream
        self.freshness = freshness
        self.expiration = expiration
        self.staleness = staleness ?? expiration
        self.generation = generation
    }
}

/// Tenant namespace: the first path component of what clients pull.
package struct Organization: Hashable, Sendable {
    package let id: OrganizationID
    package let name: OrganizationName
    /// Nil for an organization that proxies nothing (any more): only what is cached is served.
    package let proxyCache: ProxyCacheConfig?

    package init(id: OrganizationID, name: OrganizationName, proxyCache: ProxyCacheConfig?) {
        self.id = id
        self.name = name
        self.proxyCache = proxyCache
    }
}
