// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Tags and their lifetimes.
package struct TagStore: Sendable {
    package init() {}

    /// The live tag.
    package func find(
        _ tag: TagName,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> TagRecord? {
        try await db.query(
            """
            SELECT t.id, m.digest, extract(epoch FROM now() - t.checked_at)::float8
            FROM repository r
            JOIN tag t ON t.repository_id = r.id AND t.name = \(tag.rawValue) AND t.lifetime_end_at IS NULL
            JOIN manifest m ON m.id = t.manifest_id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            """
        ).first.map { row in
            let (id, digest, age) = try row.decode((Int64, String, Double).self)
            return TagRecord(
                id: TagID(rawValue: id),
                digest: try parsed(digest, "digest"),
                sinceCheck: .seconds(max(0, age))
            )
        }
    }

    /// Says that upstream just confirmed the tag, if it still names this manifest.
    /// - Returns: false when the tag has moved or ended meanwhile.
    package func confirm(_ tag: TagID, on db: some Queryable) async throws -> Bool {
        try await db.execute(
            "UPDATE tag SET checked_at = now() WHERE id = \(tag.rawValue) AND lifetime_end_at IS NULL"
        ) == 1
    }

    /// Makes the tag name a manifest of the repository, as upstream just said. A tag that named another one ends that
    /// lifetime and begins a new one; its history stays. Runs inside the caller's transaction; safe to repeat.
    package func point(
        _ tag: TagName,
        at manifest: ManifestID,
        repository: RepositoryID,
        on db: some Queryable
    ) async throws {
        // Two checks of one tag are one job, but a lapsed job's successor may race its zombie: the row lock on the
        // repository puts them in order. clock_timestamp() because now() is when the transaction began: one that waited
        // for the lock would end a lifetime before its start.
        try await db.query("SELECT id FROM repository WHERE id = \(repository.rawValue) FOR UPDATE")
        try await db.query(
            """
            UPDATE tag SET lifetime_end_at = greatest(clock_timestamp(), lifetime_start_at)
            WHERE repository_id = \(repository.rawValue) AND name = \(tag.rawValue)
                AND lifetime_end_at IS NULL AND manifest_id <> \(manifest.rawValue)
            """
        )
        try await db.query(
            """
            INSERT INTO tag (repository_id, name, manifest_id, lifetime_start_at)
            VALUES (\(repository.rawValue), \(tag.rawValue), \(manifest.rawValue), clock_timestamp())
            ON CONFLICT (repository_id, name) WHERE lifetime_end_at IS NULL
            DO UPDATE SET checked_at = now()
            """
        )
    }
}
