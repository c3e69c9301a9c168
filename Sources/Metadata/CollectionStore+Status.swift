// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// What went, and what would go.
extension CollectionStore {
    /// What all collectors have done since the database was made; kinds of which nothing was done are missing.
    package func totals(on db: some Queryable) async throws -> [CollectionCount] {
        let rows = try await db.query("SELECT kind, items, bytes FROM collection_total").decode(
            (String, Int64, Int64).self
        )
        let counts = try rows.map { kind, items, bytes -> CollectionCount in
            CollectionCount(try parsed(kind, "kind"), items: items, bytes: bytes)
        }
        return CollectionCount.Kind.allCases.compactMap { kind in counts.first { $0.kind == kind } }
    }

    /// Bytes that wait for their removal, and for how long the first of them has.
    package func garbageWaiting(on db: some Queryable) async throws -> (bytes: Int64, age: Duration) {
        let row = try await db.query(
            """
            SELECT coalesce(sum(size_bytes), 0)::bigint,
                greatest(0, coalesce(extract(epoch FROM now() - min(since)), 0))::float8
            FROM garbage
            """
        ).decodeFirst((Int64, Double).self)
        return (row?.0 ?? 0, .seconds(row?.1 ?? 0))
    }

    /// What a run would take now, one look at each step: what a step frees for the next one isn't counted.
    package func pending(_ limits: Limits, on db: some Queryable) async throws -> [CollectionCount] {
        let row = try await db.query(
            """
            SELECT (
                SELECT count(*) FROM tag t
                JOIN repository r ON r.id = t.repository_id JOIN organization o ON o.id = r.organization_id
                WHERE t.lifetime_end_at < now() - greatest(\(seconds: limits.grace), CASE
                    WHEN t.end_reason = 'pruned' AND NOT o.keeps_pruned THEN interval '0'
                    ELSE coalesce(o.time_machine_s * interval '1 second', \(seconds: limits.timeMachine)) END)
            ), (
                SELECT count(*) FROM repository_manifest rm
                WHERE (rm.repository_id, rm.manifest_id) IN (SELECT repository_id, manifest_id FROM member_candidate)
                    AND rm.released_at < now() - \(seconds: limits.grace)
                    AND (rm.last_pulled_at IS NULL OR rm.last_pulled_at < now() - \(seconds: limits.grace))
                    AND NOT EXISTS (
                        SELECT 1 FROM tag t WHERE t.repository_id = rm.repository_id AND t.manifest_id = rm.manifest_id
                    )
            ), (
                SELECT count(DISTINCT c.manifest_id) FROM manifest_candidate c JOIN manifest m ON m.id = c.manifest_id
                WHERE NOT EXISTS (SELECT 1 FROM repository_manifest rm WHERE rm.manifest_id = m.id)
            ), (
                SELECT count(DISTINCT c.digest) FROM blob_candidate c JOIN blob b ON b.digest = c.digest
                WHERE b.condemned_at IS NULL
                    AND NOT EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.digest = b.digest)
            ), (SELECT count(*) FROM blob WHERE condemned_at < now() - \(seconds: limits.grace)),
            (SELECT coalesce(sum(size_bytes), 0)::bigint FROM blob WHERE condemned_at < now() - \(seconds: limits.grace)),
            (SELECT count(*) FROM garbage), (SELECT coalesce(sum(size_bytes), 0)::bigint FROM garbage), (
                SELECT count(*) FROM repository r
                WHERE \(unescaped: Self.isEmpty) AND r.created_at < now() - \(seconds: limits.grace)
            )
            """
        ).decodeFirst((Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int64).self)
        guard let (tags, members, manifests, condemned, blobs, blobBytes, objects, objectBytes, repositories) = row
        else {
            throw MetadataError(.corruptRow, "counts have no row")
        }
        return [
            CollectionCount(.tags, items: tags),
            CollectionCount(.memberships, items: members),
            CollectionCount(.manifests, items: manifests),
            CollectionCount(.condemned, items: condemned),
            CollectionCount(.blobs, items: blobs, bytes: blobBytes),
            CollectionCount(.objects, items: objects, bytes: objectBytes),
            CollectionCount(.repositories, items: repositories),
        ]
    }
}
