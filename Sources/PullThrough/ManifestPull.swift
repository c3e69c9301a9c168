// SPDX-License-Identifier: Apache-2.0

import Metadata
package import Models
package import OCI
package import Postgres

/// A manifest that may be served, and how it came about.
package struct PulledManifest: Sendable {
    package enum Outcome: Sendable, Hashable {
        /// From the cache, without asking upstream.
        case hit
        /// From the cache, which upstream confirmed.
        case revalidated
        /// Fetched for this pull.
        case miss
        /// From the cache although upstream failed.
        case stale(FetchFailure, sinceCheck: Duration)
    }

    package let manifest: ManifestRecord
    package let outcome: Outcome
}

/// Finds the manifest behind a reference: in memory, in the database, or through the fetchers.
package struct ManifestPull: Sendable {
    private struct Key: Hashable {
        let organization: OrganizationID
        let repository: RepositoryName
        let digest: Digest
    }

    private let client: PostgresClient
    private let desk: FetchDesk
    private let manifests = ManifestStore()
    private let tags = TagStore()
    /// Manifests by digest can't change, so only membership ages.
    private let cache: BoundedCache<Key, ManifestRecord>

    /// - Parameter cacheBytes: memory for manifests
    package init(client: PostgresClient, desk: FetchDesk, cacheBytes: Int = 32 * 1024 * 1024) {
        self.client = client
        self.desk = desk
        self.cache = BoundedCache(maximumCost: cacheBytes, lifetime: .seconds(10))
    }

    /// - Parameter repository: canonical name inside the organization
    /// - Returns: nil when an organization without upstream hasn't it
    /// - Throws: ``FetchFailure`` when upstream was asked in vain and no cached copy may stand in
    package func pull(
        _ reference: Reference,
        repository: RepositoryName,
        organization: Organization
    ) async throws -> PulledManifest? {
        switch reference {
        case .digest(let digest): try await pull(digest, repository, organization)
        case .tag(let tag): try await pull(tag, repository, organization)
        }
    }

    /// What a digest names can't change: it is never asked for twice.
    private func pull(
        _ digest: Digest,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> PulledManifest? {
        if let manifest = try await cached(digest, repository, organization) {
            return PulledManifest(manifest: manifest, outcome: .hit)
        }
        guard organization.proxyCache != nil else { return nil }
        let fetched = try await fetch(.digest(digest), repository, organization)
        return PulledManifest(manifest: try await stored(fetched, repository, organization), outcome: .miss)
    }

    private func pull(
        _ tag: TagName,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> PulledManifest? {
        // With no freshness period upstream is asked whatever the row says, so the row is read only if that fails.
        let isAlwaysAsked = organization.proxyCache?.freshness == .zero
        var record = isAlwaysAsked ? nil : try await find(tag, repository, organization)
        guard let config = organization.proxyCache,
            TagRules.beforeServing(record, config: config) == .askUpstream
        else {
            guard let record, let manifest = try await cached(record.digest, repository, organization) else {
                return nil
            }
            return PulledManifest(manifest: manifest, outcome: .hit)
        }
        do {
            let fetched = try await fetch(.tag(tag), repository, organization)
            return PulledManifest(
                manifest: try await stored(fetched, repository, organization),
                outcome: fetched.isNew ? .miss : .revalidated
            )
        } catch let failure as FetchFailure {
            if record == nil { record = try await find(tag, repository, organization) }
            guard let record, TagRules.afterFailure(record, config: config) == .serveStale,
                let manifest = try await cached(record.digest, repository, organization)
            else { throw failure }
            return PulledManifest(manifest: manifest, outcome: .stale(failure, sinceCheck: record.sinceCheck))
        }
    }

    private func fetch(
        _ reference: Reference,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> ManifestFetched {
        try await desk.fetch(
            ManifestFetch(organization: organization.id, repository: repository, reference: reference)
        )
    }

    private func find(
        _ tag: TagName,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> TagRecord? {
        try await tags.find(tag, repository: repository, organization: organization.id, on: client)
    }

    private func cached(
        _ digest: Digest,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> ManifestRecord? {
        let key = Key(organization: organization.id, repository: repository, digest: digest)
        if let manifest = cache[key] { return manifest }
        guard
            let manifest = try await manifests.find(
                digest,
                repository: repository,
                organization: organization.id,
                on: client
            )
        else { return nil }
        cache.insert(manifest, for: key, cost: manifest.bytes.count + 512)
        return manifest
    }

    private func stored(
        _ fetched: ManifestFetched,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> ManifestRecord {
        guard let manifest = try await cached(fetched.digest, repository, organization) else {
            throw FetchFailure(.cache, "manifest \(fetched.digest) was removed before it could be served")
        }
        return manifest
    }
}
