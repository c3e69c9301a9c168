// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// A repository, as lists tell of it.
package struct RepositorySummary: Sendable, Hashable {
    package let name: RepositoryName
    /// Seconds since 1970.
    package let createdAt: Double
    package let lastPulledAt: Double?
    /// Tags that clients see.
    package let tags: Int
    /// Images whose manifests are here, and those of them that need nothing of their upstream any more.
    package let images: Int
    package let completeImages: Int
    /// Distinct blobs and manifests that are here.
    package let cachedBytes: Int64
}

extension RepositoryStore {
    /// Repositories of the organization, by name.
    /// - Parameters:
    ///   - name: only this one
    ///   - after: only what comes after it
    package func summaries(
        of organization: OrganizationID,
        name: RepositoryName? = nil,
        after: String = "",
        limit: Int,
        on db: some Queryable
    ) async throws -> [RepositorySummary] {
        try await db.query(
            """
            SELECT r.name, extract(epoch FROM r.created_at)::float8,
                (SELECT extract(epoch FROM max(rm.last_pulled_at))::float8
                    FROM repository_manifest rm WHERE rm.repository_id = r.id),
                (SELECT count(*) FROM tag t WHERE t.repository_id = r.id AND t.lifetime_end_at IS NULL
                    AND (t.expires_at IS NULL OR t.expires_at > now())),
                i.images, i.complete, coalesce(u.used_bytes + u.reclaimable_bytes, 0)
            FROM (
                SELECT id, name, created_at FROM repository
                WHERE organization_id = \(organization.rawValue) AND name COLLATE "C" > \(after)
                    AND (\(name?.rawValue)::text IS NULL OR name = \(name?.rawValue))
                ORDER BY name COLLATE "C" LIMIT \(limit)
            ) r CROSS JOIN LATERAL (
                SELECT count(*) AS images, count(*) FILTER (WHERE NOT \(unescaped: ImageStateStore.isIncomplete)) AS complete
                FROM repository_manifest rm JOIN manifest m ON m.id = rm.manifest_id
                WHERE rm.repository_id = r.id AND m.kind <> 'index'
            ) i LEFT JOIN repository_usage u ON u.repository_id = r.id
            ORDER BY r.name COLLATE "C"
            """
        ).decode((String, Double, Double?, Int, Int, Int, Int64).self).map { row in
            let (name, created, pulled, tags, images, complete, bytes) = row
            return RepositorySummary(
                name: try parsed(name, "name"),
                createdAt: created,
                lastPulledAt: pulled,
                tags: tags,
                images: images,
                completeImages: complete,
                cachedBytes: bytes
            )
        }
    }
}
