// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Tags and their lifetimes.
package struct TagStore: Sendable {
    /// As whom a tag is looked for.
    package enum Scope: Sendable {
        /// As clients see it: an expired tag isn't there.
        case live
        /// As the fetcher sees it: an expired tag still tells what upstream had.
        case latest
    }

    private let usage = UsageStore()

    package init() {}

    /// The tag, unless it has ended.
    package func find(
        _ tag: TagName,
        repository: RepositoryName,
        organization: OrganizationID,
        scope: Scope = .live,
        on db: some Queryable
    ) async throws -> TagRecord? {
        try await db.query(
            prepared: """
                SELECT t.id, m.digest, extract(epoch FROM now() - t.checked_at)::float8, (
                    SELECT extract(epoch FROM now() - max(s.checked_at))::float8
                    FROM tag s JOIN manifest sm ON sm.id = s.manifest_id
                    WHERE sm.digest = \(SignatureTag.subject(of: tag)?.rawValue) AND s.repository_id = r.id
                        AND s.lifetime_end_at IS NULL
                )
                FROM repository r
                JOIN tag t ON t.repository_id = r.id AND t.name = \(tag.rawValue) AND t.lifetime_end_at IS NULL
                JOIN manifest m ON m.id = t.manifest_id
                WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                    AND (t.expires_at IS NULL OR t.expires_at > now() OR \(scope == .latest))
                """
        ).first.map { row in
            let (id, digest, age, subjectAge) = try row.decode((Int64, String, Double, Double?).self)
            return TagRecord(
                id: TagID(rawValue: id),
                digest: try parsed(digest, "digest"),
                sinceCheck: .seconds(max(0, age)),
                sinceSubjectCheck: subjectAge.map { .seconds(max(0, $0)) }
            )
        }
    }

    /// The statement which says that upstream just confirmed the tag, if it is live and still names this manifest; its
    /// expiration begins anew. It changes no row when the tag has moved, ended or expired meanwhile.
    /// - Parameter expiration: nil for never
    package func confirmation(of tag: TagID, expiration: Duration?) -> Query {
        """
        UPDATE tag SET checked_at = now(), expires_at = now() + \(seconds: expiration)
        WHERE id = \(tag.rawValue) AND lifetime_end_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        """
    }

    /// Ends the live lifetime of a tag that is about to name another manifest, so that what only it keeps counts as room.
    /// The organization's lock is held.
    package func endLifetime(
        of tag: TagName,
        unlessOf digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on transaction: some Queryable
    ) async throws {
        try await transaction.query(
            """
            UPDATE tag SET lifetime_end_at = greatest(least(clock_timestamp(), expires_at), lifetime_start_at),
                end_reason = CASE WHEN expires_at <= clock_timestamp() THEN 'expired' ELSE 'moved' END
            FROM repository r, manifest m
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND tag.repository_id = r.id AND tag.name = \(tag.rawValue) AND tag.lifetime_end_at IS NULL
                AND m.id = tag.manifest_id AND m.digest <> \(digest.description)
            """
        )
    }

    /// Makes the tag name a manifest of the repository, as upstream just said. A tag that named another one, or had
    /// expired, ends that lifetime and begins a new one; its history stays. Runs inside the caller's transaction; safe to
    /// repeat.
    /// - Parameter expiration: nil for never
    package func point(
        _ tag: TagName,
        at manifest: ManifestID,
        repository: RepositoryID,
        expiration: Duration?,
        on db: some Queryable
    ) async throws {
        // Two checks of one tag are one job, but a lapsed job's successor may race its zombie: the organization's lock
        // puts them in order. clock_timestamp() because now() is when the transaction began: one that waited for the lock
        // would end a lifetime before its start.
        try await usage.lock(owning: repository, on: db)
        try await db.query(
            """
            UPDATE tag SET lifetime_end_at = greatest(least(clock_timestamp(), expires_at), lifetime_start_at),
                end_reason = CASE WHEN expires_at <= clock_timestamp() THEN 'expired' ELSE 'moved' END
            WHERE repository_id = \(repository.rawValue) AND name = \(tag.rawValue) AND lifetime_end_at IS NULL
                AND (manifest_id <> \(manifest.rawValue) OR expires_at <= clock_timestamp())
            """
        )
        try await db.query(
            """
            INSERT INTO tag (repository_id, name, manifest_id, lifetime_start_at, expires_at)
            VALUES (\(repository.rawValue), \(tag.rawValue), \(manifest.rawValue), clock_timestamp(),
                now() + \(seconds: expiration))
            ON CONFLICT (repository_id, name) WHERE lifetime_end_at IS NULL
            DO UPDATE SET checked_at = now(), expires_at = excluded.expires_at
            """
        )
    }

    /// Gives a live tag an expiration of its own, until the next pull renews it by the organization's.
    /// - Parameter expiration: from now; nil for never
    /// - Returns: false when there is no such live tag.
    package func overrideExpiration(
        of tag: TagName,
        repository: RepositoryName,
        organization: OrganizationID,
        expiration: Duration?,
        on db: some Queryable
    ) async throws -> Bool {
        try await db.execute(
            """
            UPDATE tag SET expires_at = now() + \(seconds: expiration)
            FROM repository r
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND tag.repository_id = r.id AND tag.name = \(tag.rawValue) AND tag.lifetime_end_at IS NULL
                AND (tag.expires_at IS NULL OR tag.expires_at > now())
            """
        ) == 1
    }
}
