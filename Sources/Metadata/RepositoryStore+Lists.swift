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
                i.images, i.complete, m.bytes + b.bytes
            FROM (
                SELECT id, name, created_at FROM repository
                WHERE organization_id = \(organization.rawValue) AND name COLLATE "C" > \(after)
                    AND (\(name?.rawValue)::text IS NULL OR name = \(name?.rawValue))
                ORDER BY name COLLATE "C" LIMIT \(limit)
            ) r, LATERAL (
                SELECT count(*) AS images, count(*) FILTER (WHERE NOT \(unescaped: ImageStateStore.isIncomplete)) AS complete
                FROM repository_manifest rm JOIN manifest m ON m.id = rm.manifest_id
                WHERE rm.repository_id = r.id AND m.kind <> 'index'
            ) i, LATERAL (
                SELECT coalesce(sum(m.size_bytes), 0)::bigint AS bytes
                FROM repository_manifest rm JOIN manifest m ON m.id = rm.manifest_id WHERE rm.repository_id = r.id
            ) m, LATERAL (
                SELECT coalesce(sum(size_bytes), 0)::bigint AS bytes FROM blob WHERE digest IN (
                    SELECT mb.digest FROM repository_manifest rm JOIN manifest_blob mb ON mb.manifest_id = rm.manifest_id
                    WHERE rm.repository_id = r.id
                )
            ) b
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

    /// Distinct blobs and manifests of the organization that are here.
    package func cachedBytes(of organization: OrganizationID, on db: some Queryable) async throws -> Int64 {
        try await db.query(
            """
            WITH member AS (
                SELECT DISTINCT rm.manifest_id FROM repository_manifest rm JOIN repository r ON r.id = rm.repository_id
                WHERE r.organization_id = \(organization.rawValue)
            )
            SELECT (SELECT coalesce(sum(size_bytes), 0) FROM manifest WHERE id IN (SELECT manifest_id FROM member))::bigint
                + (SELECT coalesce(sum(size_bytes), 0) FROM blob WHERE digest IN (
                    SELECT mb.digest FROM member JOIN manifest_blob mb USING (manifest_id)
                ))::bigint
            """
        ).decodeFirst(Int64.self) ?? 0
    }

    /// Removes the repository with its tags. The garbage collector takes what nothing references any more.
    /// - Returns: false when it isn't there
    package func delete(
        _ name: RepositoryName,
        organization: OrganizationID,
        on client: PostgresClient
    ) async throws -> Bool {
        try await client.withTransaction { transaction in
            try await UsageStore().lock(organization, on: transaction)
            return try await transaction.execute(
                "DELETE FROM repository WHERE organization_id = \(organization.rawValue) AND name = \(name.rawValue)"
            ) == 1
        }
    }
}
