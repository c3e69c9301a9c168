// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata
package import Models
package import OCI
package import Postgres
import Waiting

/// A list that may be served, and what stands behind it.
package struct PulledList<Element: Sendable & Hashable>: Sendable {
    package enum Standing: Sendable, Hashable {
        /// Upstream told it, within the freshness period; or there is no upstream.
        case confirmed
        /// Upstream told it, and failed since.
        case stale(FetchFailure, sinceCheck: Duration)
        /// Upstream failed and never told it: this is what happens to be cached.
        case cachedOnly(FetchFailure)
    }

    package let elements: [Element]
    package let standing: Standing
}

/// Finds what a repository lists: as upstream told it, or as far as it is cached.
package struct ListPull: Sendable {
    private let client: PostgresClient
    private let desk: FetchDesk
    private let upstreams: UpstreamDirectory
    private let lists = ListStore()

    package init(client: PostgresClient, desk: FetchDesk, upstreams: UpstreamDirectory) {
        self.client = client
        self.desk = desk
        self.upstreams = upstreams
    }

    /// Up to `limit` names of tags after `last`, in the order of their bytes.
    /// - Parameter repository: canonical name inside the organization
    /// - Returns: nil when an organization without upstream hasn't the repository
    /// - Throws: ``FetchFailure`` when upstream was asked in vain and nothing may stand in
    package func tags(
        of repository: RepositoryName,
        organization: Organization,
        after last: String?,
        limit: Int
    ) async throws -> PulledList<String>? {
        let cached = {
            try await lists.tags(of: repository, organization: organization.id, after: last, limit: limit, on: client)
        }
        guard let config = organization.proxyCache else {
            return try await cached().map { PulledList(elements: $0, standing: .confirmed) }
        }
        return try await pull(
            ListFetch(.tags, organization: organization.id, config: config, repository: repository),
            config,
            stored: {
                try await lists.upstreamTags(
                    of: repository,
                    organization: organization.id,
                    generation: config.generation,
                    after: last,
                    limit: limit,
                    on: client
                )
            },
            cached: {
                // On a later page of what is cached, nothing left is an answer.
                guard let names = try await cached(), last != nil || !names.isEmpty else { return nil }
                return names
            }
        )
    }

    /// Everything that is attached to a manifest.
    /// - Parameter repository: canonical name inside the organization
    /// - Throws: as ``tags(of:organization:after:limit:)``
    package func referrers(
        of subject: Digest,
        repository: RepositoryName,
        organization: Organization
    ) async throws -> PulledList<Descriptor> {
        guard let config = organization.proxyCache else {
            let cached = try await cachedReferrers(of: subject, repository, organization)
            return PulledList(elements: cached, standing: .confirmed)
        }
        return try await pull(
            ListFetch(.referrers(subject), organization: organization.id, config: config, repository: repository),
            config,
            stored: {
                try await lists.upstreamReferrers(
                    of: subject,
                    repository: repository,
                    organization: organization.id,
                    generation: config.generation,
                    on: client
                )
            },
            cached: {
                let cached = try await cachedReferrers(of: subject, repository, organization)
                return cached.isEmpty ? nil : cached
            }
        )
    }

    private func pull<Element>(
        _ fetch: ListFetch,
        _ config: ProxyCacheConfig,
        stored: () async throws -> StoredList<Element>?,
        cached: () async throws -> [Element]?
    ) async throws -> PulledList<Element> {
        let known = try await stored()
        let health = try await upstreams.condition(of: config.upstream.baseURL).health
        let failure: FetchFailure
        switch ListRules.beforeServing(sinceCheck: known?.sinceCheck, config: config, upstream: health) {
        case .serve:
            return PulledList(elements: known?.elements ?? [], standing: .confirmed)
        case .failed(let refusal):
            failure = refusal
        case .askUpstream:
            do {
                let fetched = try await ask(fetch, hasStandIn: known != nil)
                if let told = try await stored() { return PulledList(elements: told.elements, standing: .confirmed) }
                guard fetched.count == 0 else {
                    throw FetchFailure(.cache, "the \(fetch.list) was removed before it could be served")
                }
                return PulledList(elements: [], standing: .confirmed)
            } catch let reason as FetchFailure {
                failure = reason
            }
        }
        if let known, TagRules.afterFailure(sinceCheck: known.sinceCheck, failure, config: config) == .serveStale {
            return PulledList(elements: known.elements, standing: .stale(failure, sinceCheck: known.sinceCheck))
        }
        // What is cached is true in parts, unless upstream has just said that it isn't.
        let isDenied = failure.cause == .notFound && config.onUpstreamDelete == .hide
        guard !isDenied, let found = try await cached() else { throw failure }
        return PulledList(elements: found, standing: .cachedOnly(failure))
    }

    private func ask(_ fetch: ListFetch, hasStandIn: Bool) async throws -> ListFetched {
        do {
            return try await desk.fetch(fetch, isPatient: !hasStandIn)
        } catch let error as DeadlineExceeded {
            throw FetchFailure(.timeout, "upstream \(fetch.upstream): \(error)")
        }
    }

    private func cachedReferrers(
        of subject: Digest,
        _ repository: RepositoryName,
        _ organization: Organization
    ) async throws -> [Descriptor] {
        try await lists.referrers(of: subject, repository: repository, organization: organization.id, on: client)
            .map { manifest in
                // What is stored was parsed before: a failure here is a corrupt row, and the cache's fault.
                let document = try ManifestDocument(bytes: manifest.bytes, contentType: manifest.mediaType)
                return Descriptor(
                    mediaType: manifest.mediaType,
                    digest: manifest.digest,
                    size: Int64(manifest.bytes.count),
                    artifactType: document.artifactType ?? document.config?.mediaType.rawValue,
                    annotations: document.annotations
                )
            }
    }
}
