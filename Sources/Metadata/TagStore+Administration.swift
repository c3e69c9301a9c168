// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// One lifetime of a tag. Times are seconds since 1970.
package struct TagLifetime: Sendable, Hashable {
    /// Why a lifetime ended.
    package enum End: String, Sendable, Hashable, CaseIterable {
        case moved, expired, deleted, pruned
    }

    package let id: TagID
    package let name: TagName
    package let digest: Digest
    package let isIndex: Bool
    package let isPinned: Bool
    package let startedAt: Double
    /// Nil while it lasts.
    package let endedAt: Double?
    package let end: End?
    /// When it ends unless it is pulled; nil for never.
    package let expiresAt: Double?
    package let lastPulledAt: Double?
    /// When upstream last confirmed it.
    package let checkedAt: Double
    package let image: ImageState
}

extension TagStore {
    /// What is read of a repository's tags.
    package struct Filter: Sendable {
        package var name: TagName?
        /// Part of the name.
        package var nameContains: String?
        /// Without what has ended.
        package var isLive = true
        /// Only lifetimes after this one, in the list's order.
        package var after: (name: String, id: Int64)?
        package var skip = 0
        package var limit = 50

        package init() {}
    }

    /// Lifetimes by name, the newest of each name first.
    package func lifetimes(
        _ filter: Filter,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> [TagLifetime] {
        try await db.query(
            """
            SELECT t.id, t.name, m.digest, m.kind = 'index', t.is_pinned, extract(epoch FROM t.lifetime_start_at)::float8,
                extract(epoch FROM t.ended_at)::float8, t.reason, extract(epoch FROM t.expires_at)::float8,
                extract(epoch FROM t.last_pulled_at)::float8, extract(epoch FROM t.checked_at)::float8,
                i.present, i.total, i.present_bytes, i.total_bytes,
                (SELECT count(DISTINCT c.digest) FROM manifest_child c
                    JOIN manifest cm ON cm.digest = c.digest
                    JOIN repository_manifest rm ON rm.repository_id = t.repository_id AND rm.manifest_id = cm.id
                    WHERE c.parent_id = m.id),
                (SELECT count(DISTINCT c.digest) FROM manifest_child c WHERE c.parent_id = m.id)
            FROM (
                SELECT t.*, coalesce(t.lifetime_end_at, CASE WHEN t.expires_at <= now() THEN t.expires_at END) AS ended_at,
                    CASE WHEN t.lifetime_end_at IS NOT NULL THEN coalesce(t.end_reason, 'moved')
                        WHEN t.expires_at <= now() THEN 'expired' END AS reason,
                    EXISTS (SELECT 1 FROM tag_pin p WHERE p.repository_id = r.id AND p.name = t.name) AS is_pinned
                FROM repository r JOIN tag t ON t.repository_id = r.id
                WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                    AND (\(filter.name?.rawValue)::text IS NULL OR t.name = \(filter.name?.rawValue))
                    AND (\(filter.nameContains)::text IS NULL OR strpos(t.name, \(filter.nameContains)) > 0)
                    AND (NOT \(filter.isLive)
                        OR (t.lifetime_end_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())))
                    AND (\(filter.after?.name)::text IS NULL OR t.name COLLATE "C" > \(filter.after?.name)
                        OR (t.name = \(filter.after?.name) AND t.id < \(filter.after?.id)))
                ORDER BY t.name COLLATE "C", t.id DESC OFFSET \(filter.skip) LIMIT \(filter.limit)
            ) t JOIN manifest m ON m.id = t.manifest_id, LATERAL (
                SELECT count(*) FILTER (WHERE is_present) AS present, count(*) AS total,
                    coalesce(sum(bytes) FILTER (WHERE is_present), 0)::bigint AS present_bytes,
                    coalesce(sum(bytes), 0)::bigint AS total_bytes
                FROM (
                    SELECT DISTINCT ON (mb.digest)
                        b.generation IS NOT NULL AS is_present, coalesce(b.size_bytes, mb.size_bytes) AS bytes
                    FROM (
                        SELECT m.id UNION SELECT cm.id FROM manifest_child c
                        JOIN manifest cm ON cm.digest = c.digest
                        JOIN repository_manifest rm ON rm.repository_id = t.repository_id AND rm.manifest_id = cm.id
                        WHERE c.parent_id = m.id
                    ) f
                    JOIN manifest_blob mb ON mb.manifest_id = f.id
                    JOIN blob b ON b.digest = mb.digest
                    WHERE b.generation IS NOT NULL OR NOT \(unescaped: ImageStateStore.isForeign)
                    ORDER BY mb.digest
                ) named
            ) i
            ORDER BY t.name COLLATE "C", t.id DESC
            """
        ).map(Self.lifetime)
    }

    private static func lifetime(_ row: Row) throws -> TagLifetime {
        let (
            id, name, digest, isIndex, isPinned, start, end, reason, expires, pulled, checked, present, total,
            presentBytes, totalBytes, presentChildren, listedChildren
        ) = try row.decode(
            (
                Int64, String, String, Bool, Bool, Double, Double?, String?, Double?, Double?, Double, Int, Int, Int64,
                Int64, Int, Int
            ).self
        )
        return TagLifetime(
            id: TagID(rawValue: id),
            name: try parsed(name, "name"),
            digest: try parsed(digest, "digest"),
            isIndex: isIndex,
            isPinned: isPinned,
            startedAt: start,
            endedAt: end,
            end: try reason.map { try parsed($0, "end_reason") },
            expiresAt: expires,
            lastPulledAt: pulled,
            checkedAt: checked,
            image: ImageState(
                presentBlobs: present,
                totalBlobs: total,
                presentBytes: presentBytes,
                totalBytes: totalBytes,
                children: isIndex ? ImageState.Children(present: presentChildren, listed: listedChildren) : nil
            )
        )
    }

    /// The newest lifetime of a tag that the time machine still remembers.
    /// - Parameter digest: of the manifest that it named; nil for any
    package func remembered(
        _ tag: TagName,
        at digest: Digest?,
        repository: RepositoryName,
        organization: OrganizationID,
        timeMachine: Duration,
        on db: some Queryable
    ) async throws -> (id: TagID, digest: Digest)? {
        try await db.query(
            """
            SELECT t.id, m.digest
            FROM repository r
            JOIN organization o ON o.id = r.organization_id
            JOIN tag t ON t.repository_id = r.id AND t.name = \(tag.rawValue)
            JOIN manifest m ON m.id = t.manifest_id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND (\(digest?.description)::text IS NULL OR m.digest = \(digest?.description))
                AND t.lifetime_end_at >= now() - \(seconds: timeMachine)
                AND (t.end_reason IS DISTINCT FROM 'pruned' OR o.keeps_pruned)
            ORDER BY t.id DESC LIMIT 1
            """
        ).decodeFirst((Int64, String).self).map { (TagID(rawValue: $0), try parsed($1, "digest")) }
    }
}
