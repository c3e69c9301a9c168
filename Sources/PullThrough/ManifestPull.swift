// SPDX-License-Identifier: Apache-2.0

import Metadata
package import Models
package import OCI
package import Postgres
import Waiting

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
    private let upstreams: UpstreamDirectory
    private let recorder: PullRecorder
    private let manifests = ManifestStore()
    private let tags = TagStore()
    /// Manifests by digest can't change, so only membership ages.
    private let cache: BoundedCache<Key, ManifestRecord>
    private let finding = Coalescer<Key, ManifestRecord?>()

    /// - Parameter cacheBytes: memory for manifests
    package init(
        client: PostgresClient,
        desk: FetchDesk,
        upstreams: UpstreamDirectory,
        recorder: PullRecorder,
        cacheBytes: Int = 32 * 1024 * 1024
    ) {
        self.client = client
        self.desk = desk
        self.upstreams = upstreams
        self.recorder = recorder
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
        var tag: TagName?
        let pulled: PulledManifest?
        switch reference {
        case .digest(let digest):
            pulled = try await pull(digest, repository, organization)
        case .tag(let name):
            tag = name
            pulled = try await pull(name, repository, organization)
        }
        guard let pulled else { return nil }
        var isRenewing = true
        if case .stale = pulled.outcome { isRenewing = false }
        recorder.record(
            PullTouch(
                repository: pulled.manifest.repository,
                manifest: pulled.manifest.id,
                tag: tag,
                isRenewing: isRenewing
            )
        )
        return pulled
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
        guard let config = organization.proxyCache else { return nil }
        if let refusal = try await health(of: config).refusal { throw refusal }
        let fetch = fetch(.digest(digest), repository, organization, config)
        let fetched = try await desk.fetch(fetch)
        return PulledManifest(manifest: try await stored(fetched, repository, organization), outcome: .miss)
    }

    private func pull(
        _ tag: TagName,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> PulledManifest? {
        guard let config = organization.proxyCache else {
            guard let record = try await find(tag, repository, organization) else { return nil }
            return try await hit(record, repository, organization)
        }
        let health = try await health(of: config)
        // With no freshness period upstream is asked whatever the row says, so the row is read only if that fails.
        let isAlwaysAsked = config.freshness == .zero && !health.isOpen
        let record = isAlwaysAsked ? nil : try await find(tag, repository, organization)
        switch TagRules.beforeServing(record, config: config, upstream: health) {
        case .serve:
            if let record, let pulled = try await hit(record, repository, organization) { return pulled }
            return try await ask(tag, repository, organization, config)
        case .failed(let failure):
            return try await standIn(for: failure, record, repository, organization, config)
        case .askUpstream:
            return try await ask(tag, repository, organization, config)
        }
    }

    /// Asks upstream. When it fails, or keeps us waiting for too long, a cached copy stands in if it may.
    private func ask(
        _ tag: TagName,
        _ repository: RepositoryName,
        _ organization: Organization,
        _ config: ProxyCacheConfig
    ) async throws -> PulledManifest {
        let fetch = fetch(.tag(tag), repository, organization, config)
        do {
            let fetched: ManifestFetched
            do {
                fetched = try await desk.fetch(fetch, isPatient: false)
            } catch let error as DeadlineExceeded {
                let failure = FetchFailure(.timeout, "upstream \(config.upstream)/\(repository): \(error)")
                let record = try await find(tag, repository, organization)
                if let stale = try await stale(record, failure, repository, organization, config) { return stale }
                fetched = try await desk.fetch(fetch)
            }
            return PulledManifest(
                manifest: try await stored(fetched, repository, organization),
                outcome: fetched.isNew ? .miss : .revalidated
            )
        } catch let failure as FetchFailure {
            let record = try await find(tag, repository, organization)
            return try await standIn(for: failure, record, repository, organization, config)
        }
    }

    private func hit(
        _ record: TagRecord,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> PulledManifest? {
        try await cached(record.digest, repository, organization).map { PulledManifest(manifest: $0, outcome: .hit) }
    }

    private func standIn(
        for failure: FetchFailure,
        _ record: TagRecord?,
        _ repository: RepositoryName,
        _ organization: Organization,
        _ config: ProxyCacheConfig
    ) async throws -> PulledManifest {
        guard let stale = try await stale(record, failure, repository, organization, config) else { throw failure }
        return stale
    }

    private func stale(
        _ record: TagRecord?,
        _ failure: FetchFailure,
        _ repository: RepositoryName,
        _ organization: Organization,
        _ config: ProxyCacheConfig
    ) async throws -> PulledManifest? {
        guard let record, TagRules.afterFailure(record, failure, config: config) == .serveStale,
            let manifest = try await cached(record.digest, repository, organization)
        else { return nil }
        return PulledManifest(manifest: manifest, outcome: .stale(failure, sinceCheck: record.sinceCheck))
    }

    private func health(of config: ProxyCacheConfig) async throws -> UpstreamHealth {
        try await upstreams.condition(of: config.upstream.baseURL).health
    }

    private func fetch(
        _ reference: Reference,
        _ repository: RepositoryName,
        _ organization: Organization,
        _ config: ProxyCacheConfig
    ) -> ManifestFetch {
        ManifestFetch(
            organization: organization.id,
            config: config,
            repository: repository,
            reference: reference
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
        let found = try await finding.value(for: key) {
            try await manifests.find(digest, repository: repository, organization: organization.id, on: client)
        }
        guard let manifest = found else { return nil }
        cache.insert(manifest, for: key, cost: manifest.bytes.count + 512)
        return manifest
    }

    private func stored(
        _ fetched: ManifestFetched,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> ManifestRecord {
        if let manifest = try await cached(fetched.digest, repository, organization) { return manifest }
        // What is shared may be a look that began before it was stored.
        let found = try await manifests.find(
            fetched.digest,
            repository: repository,
            organization: organization.id,
            on: client
        )
        guard let manifest = found else {
            throw FetchFailure(.cache, "manifest \(fetched.digest) was removed before it could be served")
        }
        return manifest
    }
}
