// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Tells which images are complete.
package struct ImageStateStore: Sendable {
    /// Of a row `mb` of `manifest_blob`: a layer whose bytes need not be in any registry.
    static let isForeign = """
        (mb.media_type LIKE 'application/vnd.oci.image.layer.nondistributable.v1.tar%'
            OR mb.media_type LIKE 'application/vnd.docker.image.rootfs.foreign.diff.tar%')
        """

    /// Of a manifest `m`: that one of its blobs is missing.
    static let isIncomplete = """
        EXISTS (
            SELECT 1 FROM manifest_blob mb JOIN blob b ON b.digest = mb.digest
            WHERE mb.manifest_id = m.id AND b.generation IS NULL AND NOT \(isForeign)
        )
        """

    package init() {}

    /// How much of an image is here; nil when this repository hasn't its manifest.
    package func state(
        of digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> ImageState? {
        try await db.query(
            """
            WITH RECURSIVE asked AS (
                SELECT r.id AS repository_id, m.id AS manifest_id, m.kind
                FROM repository r
                JOIN repository_manifest rm ON rm.repository_id = r.id
                JOIN manifest m ON m.id = rm.manifest_id AND m.digest = \(digest.description)
                WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            ), family AS (
                SELECT repository_id, manifest_id, 0 AS depth FROM asked
                UNION
                SELECT f.repository_id, m.id, f.depth + 1
                FROM family f
                JOIN manifest_child c ON c.parent_id = f.manifest_id
                JOIN manifest m ON m.digest = c.digest
                JOIN repository_manifest rm ON rm.repository_id = f.repository_id AND rm.manifest_id = m.id
                WHERE f.depth < 8
            ), named AS (
                SELECT DISTINCT ON (mb.digest)
                    b.generation IS NOT NULL AS is_present, coalesce(b.size_bytes, mb.size_bytes) AS bytes
                FROM family f
                JOIN manifest_blob mb ON mb.manifest_id = f.manifest_id
                JOIN blob b ON b.digest = mb.digest
                WHERE b.generation IS NOT NULL OR NOT \(unescaped: Self.isForeign)
                ORDER BY mb.digest
            )
            SELECT kind = 'index',
                (SELECT count(*) FROM named WHERE is_present), (SELECT count(*) FROM named),
                (SELECT coalesce(sum(bytes), 0)::bigint FROM named WHERE is_present),
                (SELECT coalesce(sum(bytes), 0)::bigint FROM named),
                (SELECT count(DISTINCT manifest_id) FROM family WHERE depth = 1),
                (SELECT count(DISTINCT digest) FROM manifest_child c WHERE c.parent_id = asked.manifest_id)
            FROM asked
            """
        ).decodeFirst((Bool, Int, Int, Int64, Int64, Int, Int).self).map { row in
            let (isIndex, present, total, presentBytes, totalBytes, presentChildren, listedChildren) = row
            return ImageState(
                presentBlobs: present,
                totalBlobs: total,
                presentBytes: presentBytes,
                totalBytes: totalBytes,
                children: isIndex ? ImageState.Children(present: presentChildren, listed: listedChildren) : nil
            )
        }
    }

    /// The manifests that a blob, which was just placed, made complete. Each is told once, whichever of its blobs comes
    /// last and whoever brings it: the manifests are locked, so of transactions that place two blobs of the same image
    /// the second sees what the first did. Call it in the transaction that placed a blob which had no bytes before.
    ///
    /// A manifest whose blobs were all here before it was stored is complete from the start, and isn't told here.
    package func completed(by digest: Digest, on transaction: some Queryable) async throws -> [ManifestID] {
        try await transaction.query(
            """
            SELECT id FROM manifest
            WHERE id IN (SELECT manifest_id FROM manifest_blob WHERE digest = \(digest.description))
            ORDER BY id FOR NO KEY UPDATE
            """
        )
        // A statement of its own: it has to see what was committed while the first one waited.
        return try await transaction.query(
            """
            SELECT m.id FROM manifest m
            WHERE id IN (SELECT manifest_id FROM manifest_blob WHERE digest = \(digest.description))
                AND NOT \(unescaped: Self.isIncomplete)
            ORDER BY m.id
            """
        ).decode(Int64.self).map(ManifestID.init(rawValue:))
    }

    /// What each organization has, by name.
    package func summaries(on db: some Queryable) async throws -> [OrganizationSummary] {
        try await db.query(
            """
            SELECT o.name, coalesce(t.live, 0), coalesce(i.complete, 0), coalesce(i.incomplete, 0)
            FROM organization o
            LEFT JOIN (
                SELECT r.organization_id, count(*) AS live
                FROM tag JOIN repository r ON r.id = tag.repository_id
                WHERE tag.lifetime_end_at IS NULL AND (tag.expires_at IS NULL OR tag.expires_at > now())
                GROUP BY r.organization_id
            ) t ON t.organization_id = o.id
            LEFT JOIN (
                SELECT r.organization_id, count(*) FILTER (WHERE NOT s.is_incomplete) AS complete,
                    count(*) FILTER (WHERE s.is_incomplete) AS incomplete
                FROM (SELECT m.id, \(unescaped: Self.isIncomplete) AS is_incomplete
                    FROM manifest m WHERE m.kind <> 'index') s
                JOIN repository_manifest rm ON rm.manifest_id = s.id
                JOIN repository r ON r.id = rm.repository_id
                GROUP BY r.organization_id
            ) i ON i.organization_id = o.id
            ORDER BY o.name COLLATE "C"
            """
        ).decode((String, Int, Int, Int).self).map { name, tags, complete, incomplete in
            OrganizationSummary(
                name: try parsed(name, "name"),
                tags: tags,
                completeImages: complete,
                incompleteImages: incomplete
            )
        }
    }
}
