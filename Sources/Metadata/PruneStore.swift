// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// What can be pruned, and its end.
package struct PruneStore: Sendable {
    /// Pulls of the last seconds that ``PullStore`` may not have heard of yet are read from the log.
    private static let unrecorded: Duration = .seconds(10)

    private let log = LogStore()

    package init() {}

    /// What is ended first comes first: live tags that aren't pinned, and holds on manifests that were pulled by digest,
    /// by their last pull. Of an index, pulls of its children count.
    /// - Parameters:
    ///   - sparing: a manifest that is being pulled from this repository; neither it nor an index that lists it is named
    ///   - limit: how many at most
    package func candidates(
        of organization: OrganizationID,
        sparing: (repository: RepositoryName, digest: Digest)?,
        limit: Int,
        on db: some Queryable
    ) async throws -> [PruneCandidate] {
        try await db.query(
            """
            WITH arriving AS (
                SELECT DISTINCT mb.manifest_id
                FROM job j JOIN manifest_blob mb ON mb.digest = j.unique_key
                WHERE j.kind = \(JobKind.blobFetch.rawValue) AND (j.state = 'running'
                    OR (j.state IN ('available', 'retryable') AND j.priority <= \(JobPriority.client)))
            ), in_flight AS (
                SELECT manifest_id FROM arriving
                UNION
                SELECT c.parent_id FROM arriving a
                JOIN manifest m ON m.id = a.manifest_id JOIN manifest_child c ON c.digest = m.digest
            ), spared AS (
                SELECT id FROM manifest WHERE digest = \(sparing?.digest.description)
                UNION SELECT parent_id FROM manifest_child WHERE digest = \(sparing?.digest.description)
            ), unrecorded AS (
                SELECT r.id AS repository_id, l.digest, max(l.at) AS at
                FROM log_entry l JOIN repository r ON r.organization_id = l.organization_id AND r.name = l.repository
                WHERE l.organization_id = \(organization.rawValue) AND l.at > now() - \(seconds: Self.unrecorded)
                    AND l.kind = \(LogKind.pull.rawValue) AND l.digest IS NOT NULL
                GROUP BY r.id, l.digest
            ), pulled AS (
                SELECT repository_id, manifest_id, max(at) AS at FROM (
                    SELECT u.repository_id, m.id AS manifest_id, u.at
                    FROM unrecorded u JOIN manifest m ON m.digest = u.digest
                    UNION ALL
                    SELECT u.repository_id, c.parent_id, u.at
                    FROM unrecorded u JOIN manifest_child c ON c.digest = u.digest
                ) family GROUP BY repository_id, manifest_id
            ), root AS (
                SELECT t.id AS tag_id, t.repository_id, t.manifest_id,
                    greatest(t.last_pulled_at, t.lifetime_start_at) AS used_at
                FROM repository r
                JOIN tag t ON t.repository_id = r.id AND t.lifetime_end_at IS NULL
                WHERE r.organization_id = \(organization.rawValue) AND NOT EXISTS (
                    SELECT 1 FROM tag_pin p WHERE p.repository_id = t.repository_id AND p.name = t.name
                )
                UNION ALL
                SELECT NULL, rm.repository_id, rm.manifest_id, greatest(rm.last_pulled_at, rm.created_at)
                FROM repository r
                JOIN repository_manifest rm ON rm.repository_id = r.id AND rm.held_until IS NOT NULL
                WHERE r.organization_id = \(organization.rawValue) AND NOT rm.is_bypassed
            ), first AS (
                SELECT root.tag_id, root.repository_id, root.manifest_id, greatest(root.used_at, p.at) AS used_at
                FROM root LEFT JOIN pulled p
                    ON p.repository_id = root.repository_id AND p.manifest_id = root.manifest_id
                WHERE root.manifest_id NOT IN (SELECT id FROM spared) OR root.repository_id IS DISTINCT FROM (
                    SELECT id FROM repository
                    WHERE organization_id = \(organization.rawValue) AND name = \(sparing?.repository.rawValue)
                )
                ORDER BY greatest(root.used_at, p.at), root.tag_id NULLS FIRST, root.manifest_id
                LIMIT \(limit)
            )
            SELECT tag_id, repository_id, manifest_id, manifest_id IN (SELECT manifest_id FROM in_flight) FROM first
            ORDER BY used_at, tag_id NULLS FIRST, manifest_id
            """
        ).decode((Int64?, Int64, Int64, Bool).self).map { tag, repository, manifest, isInFlight in
            PruneCandidate(
                root: tag.map { .tag(TagID(rawValue: $0)) } ?? .hold,
                member: .init(repository: .init(rawValue: repository), manifest: .init(rawValue: manifest)),
                isInFlight: isInFlight
            )
        }
    }

    /// Adds the candidates' manifests, what they list, and what they all have.
    /// - Parameter isSparingOversized: what oversized images have counts nothing, as it does in a usage that is taken without
    ///   ``oversizedBytes(of:on:)``
    package func load(
        _ candidates: [PruneCandidate],
        of organization: OrganizationID,
        isSparingOversized: Bool,
        into graph: inout PruneGraph,
        names: inout [String: Int],
        on db: some Queryable
    ) async throws {
        let roots = Set(candidates.map(\.member)).filter { graph.members[$0] == nil }
        guard !roots.isEmpty else { return }
        let family = try await family(of: Array(roots), on: db).filter { graph.members[$0.key] == nil }
        let keys = Array(family.keys)
        let rows = try await db.query(
            """
            WITH oversized AS MATERIALIZED (
                SELECT digest, is_manifest FROM (\(Self.oversizedContents(of: organization))) named
                WHERE \(isSparingOversized)
            )
            SELECT p.repository_id, p.manifest_id, i.is_manifest, i.digest,
                CASE WHEN (i.digest, i.is_manifest) IN (SELECT digest, is_manifest FROM oversized) THEN 0
                    ELSE c.size_bytes END,
                c.live_holders
            FROM unnest(\(keys.map(\.repository.rawValue))::bigint[], \(keys.map(\.manifest.rawValue))::bigint[])
                AS p (repository_id, manifest_id)
            CROSS JOIN LATERAL content_of(p.manifest_id) i
            JOIN organization_content c ON c.organization_id = \(organization.rawValue)
                AND c.digest = i.digest AND c.is_manifest = i.is_manifest
            """
        ).decode((Int64, Int64, Bool, String, Int64, Int).self)
        var contents: [Int: PruneGraph.Content] = [:]
        var owned: [PruneGraph.MemberKey: [Int]] = [:]
        for (repository, manifest, isManifest, digest, bytes, holders) in rows {
            let name = isManifest ? "manifest " + digest : digest
            let id = names[name] ?? names.count
            names[name] = id
            contents[id] = PruneGraph.Content(bytes: bytes, holders: holders)
            owned[.init(repository: .init(rawValue: repository), manifest: .init(rawValue: manifest)), default: []]
                .append(id)
        }
        let members = family.reduce(into: [PruneGraph.MemberKey: PruneGraph.Member]()) { members, entry in
            members[entry.key] = PruneGraph.Member(
                keepers: entry.value.keepers,
                children: entry.value.children,
                contents: owned[entry.key] ?? []
            )
        }
        graph.add(members: members, contents: contents)
    }

    /// Living members that these keep alive, themselves included, with what keeps and what they list.
    private func family(
        of roots: [PruneGraph.MemberKey],
        on db: some Queryable
    ) async throws -> [PruneGraph.MemberKey: (keepers: Int, children: [PruneGraph.MemberKey])] {
        let rows = try await db.query(
            """
            WITH RECURSIVE family AS (
                SELECT p.repository_id, p.manifest_id
                FROM unnest(\(roots.map(\.repository.rawValue))::bigint[], \(roots.map(\.manifest.rawValue))::bigint[])
                    AS p (repository_id, manifest_id)
                UNION
                SELECT f.repository_id, m.id
                FROM family f
                JOIN manifest_child c ON c.parent_id = f.manifest_id
                JOIN manifest m ON m.digest = c.digest
                JOIN repository_manifest rm ON rm.repository_id = f.repository_id AND rm.manifest_id = m.id
                WHERE rm.released_at IS NULL
            )
            SELECT f.repository_id, f.manifest_id, (
                SELECT count(*) FROM tag t WHERE t.repository_id = f.repository_id AND t.manifest_id = f.manifest_id
                    AND t.lifetime_end_at IS NULL
            ) + (rm.held_until IS NOT NULL)::integer + (
                SELECT count(DISTINCT p.manifest_id)
                FROM manifest m
                JOIN manifest_child c ON c.digest = m.digest
                JOIN repository_manifest p ON p.repository_id = f.repository_id AND p.manifest_id = c.parent_id
                WHERE m.id = f.manifest_id AND p.released_at IS NULL
            ), ARRAY(
                SELECT DISTINCT m.id
                FROM manifest_child c
                JOIN manifest m ON m.digest = c.digest
                JOIN repository_manifest k ON k.repository_id = f.repository_id AND k.manifest_id = m.id
                WHERE c.parent_id = f.manifest_id AND k.released_at IS NULL
            )
            FROM family f
            JOIN repository_manifest rm ON rm.repository_id = f.repository_id AND rm.manifest_id = f.manifest_id
            WHERE rm.released_at IS NULL
            """
        ).decode((Int64, Int64, Int, [Int64]).self)
        return Dictionary(
            uniqueKeysWithValues: rows.map { repository, manifest, keepers, children in
                let repository = RepositoryID(rawValue: repository)
                let key = PruneGraph.MemberKey(repository: repository, manifest: ManifestID(rawValue: manifest))
                let listed = children.map {
                    PruneGraph.MemberKey(repository: repository, manifest: ManifestID(rawValue: $0))
                }
                return (key, (keepers, listed))
            }
        )
    }

    /// Ends them. The organization's lock is held since they were found.
    package func end(_ victims: [PruneCandidate], on transaction: some Queryable) async throws {
        let tags = victims.compactMap { victim -> Int64? in
            if case .tag(let id) = victim.root { id.rawValue } else { nil }
        }
        if !tags.isEmpty {
            let ended = try await transaction.query(
                """
                UPDATE tag SET lifetime_end_at = greatest(clock_timestamp(), lifetime_start_at), end_reason = 'pruned'
                WHERE id = ANY(\(tags)::bigint[]) AND lifetime_end_at IS NULL
                RETURNING id
                """
            ).decode(Int64.self)
            try await log.append(.pruneTag, ofLifetimes: ended, on: transaction)
        }
        let holds = victims.filter { $0.root == .hold }.map(\.member)
        guard !holds.isEmpty else { return }
        try await transaction.query(
            """
            UPDATE repository_manifest rm SET held_until = NULL
            FROM unnest(\(holds.map(\.repository.rawValue))::bigint[], \(holds.map(\.manifest.rawValue))::bigint[])
                AS p (repository_id, manifest_id)
            WHERE rm.repository_id = p.repository_id AND rm.manifest_id = p.manifest_id
            """
        )
    }

    /// Bytes of a manifest and what it names: all of it, and what the organization hasn't alive.
    package func need(
        of document: ManifestDocument,
        digest: Digest,
        manifestBytes: Int,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> (size: Int64, missing: Int64) {
        let blobs = document.blobs
        let sizes = try await db.query(
            """
            WITH named AS (
                SELECT digest, false AS is_manifest, min(size_bytes) AS size_bytes
                FROM unnest(\(blobs.map(\.digest.description))::text[], \(blobs.map(\.reservedBytes))::bigint[])
                    AS b (digest, size_bytes)
                GROUP BY digest
                UNION ALL SELECT \(digest.description), true, \(manifestBytes)::bigint
            )
            SELECT sum(coalesce(b.declared_bytes, n.size_bytes))::bigint,
                coalesce(sum(coalesce(b.declared_bytes, n.size_bytes)) FILTER (WHERE coalesce(c.live_holders, 0) <= 0), 0)
                    ::bigint
            FROM named n
            LEFT JOIN blob b ON b.digest = n.digest AND NOT n.is_manifest
            LEFT JOIN organization_content c ON c.organization_id = \(organization.rawValue)
                AND c.digest = n.digest AND c.is_manifest = n.is_manifest
            """
        ).decodeFirst((Int64, Int64).self)
        guard let (size, missing) = sizes else { throw MetadataError(.corruptRow, "a sum has no row") }
        return (size, missing)
    }

    /// What oversized images, which are kept over the limit, take of an organization's usage.
    package func oversizedBytes(of organization: OrganizationID, on db: some Queryable) async throws -> Int64 {
        try await db.query(
            """
            SELECT coalesce(sum(size_bytes), 0)::bigint FROM (\(Self.oversizedContents(of: organization))) named
            """
        ).decodeFirst(Int64.self) ?? 0
    }

    private static func oversizedContents(of organization: OrganizationID) -> Query {
        """
        SELECT DISTINCT i.digest, i.is_manifest, i.size_bytes
        FROM repository r
        JOIN repository_manifest rm ON rm.repository_id = r.id
        CROSS JOIN LATERAL content_of(rm.manifest_id) i
        WHERE r.organization_id = \(organization.rawValue) AND rm.is_oversized AND rm.released_at IS NULL
        """
    }

    /// Organizations whose usage is over their limit.
    package func overLimit(on db: some Queryable) async throws -> [OrganizationID] {
        try await db.query(
            """
            SELECT q.organization_id FROM quota q JOIN organization_usage u USING (organization_id)
            WHERE u.used_bytes::numeric + u.reserved_bytes > q.limit_bytes ORDER BY q.organization_id
            """
        ).decode(Int64.self).map(OrganizationID.init(rawValue:))
    }
}
