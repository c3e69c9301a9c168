// SPDX-License-Identifier: Apache-2.0

package import Foundation
package import Models
package import Postgres

/// What the scanner has to tell, worked through page by page.
package struct ScanNotificationStore: Sendable {
    /// Where somebody left off.
    package struct Progress: Sendable, Hashable {
        /// Nil at the beginning.
        package let nextPage: String?
        package let pages: Int
    }

    /// A repository that has an image, and the names that it goes by there.
    package struct Place: Sendable, Hashable {
        package let digest: String
        package let organization: OrganizationID
        package let organizationName: String
        package let repository: String
        /// 100 at the most.
        package let tags: [String]
    }

    package init() {}

    /// Writes down that there is something to fetch. Returns false for what is known already, whether worked through or
    /// not.
    package func receive(_ id: UUID, on db: some Queryable) async throws -> Bool {
        try await db.execute("INSERT INTO scan_notification (id) VALUES (\(id)) ON CONFLICT (id) DO NOTHING") == 1
    }

    /// Notifications that are to be worked on now; see ``ScanStore/takeDue(limit:pause:on:)``.
    package func takeDue(limit: Int, pause: Duration, on transaction: some Queryable) async throws -> [UUID] {
        try await transaction.query(
            """
            WITH picked AS MATERIALIZED (
                SELECT id FROM scan_notification WHERE finished_at IS NULL AND due_at <= now()
                ORDER BY due_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            )
            UPDATE scan_notification n SET due_at = now() + \(seconds: pause)
            FROM picked WHERE n.id = picked.id
            RETURNING n.id
            """
        ).decode(UUID.self)
    }

    /// Nil for one that is finished or gone.
    package func progress(of id: UUID, on db: some Queryable) async throws -> Progress? {
        try await db.query("SELECT next_page, pages FROM scan_notification WHERE id = \(id) AND finished_at IS NULL")
            .decodeFirst((String?, Int).self).map { Progress(nextPage: $0.0, pages: $0.1) }
    }

    /// Writes down that a page is done. Call it in the transaction that did what follows from it.
    /// - Returns: false when somebody else was faster: nothing of this page may be done again
    package func advance(
        _ id: UUID,
        from progress: Progress,
        to nextPage: String?,
        on transaction: some Queryable
    ) async throws -> Bool {
        try await transaction.execute(
            """
            UPDATE scan_notification
            SET next_page = \(nextPage), pages = pages + 1,
                finished_at = CASE WHEN \(nextPage)::text IS NULL THEN now() END
            WHERE id = \(id) AND finished_at IS NULL AND pages = \(progress.pages)
            """
        ) == 1
    }

    /// Has it looked at again after a while.
    package func postpone(_ id: UUID, by delay: Duration, on transaction: some Queryable) async throws {
        try await transaction.query(
            "UPDATE scan_notification SET due_at = now() + \(seconds: delay) WHERE id = \(id)"
        )
    }

    /// Ends one that the scanner knows nothing (more) of.
    package func finish(_ id: UUID, on transaction: some Queryable) async throws {
        try await transaction.query(
            "UPDATE scan_notification SET finished_at = now() WHERE id = \(id) AND finished_at IS NULL"
        )
    }

    /// Forgets what was finished that long ago.
    package func clean(olderThan age: Duration, on db: some Queryable) async throws {
        try await db.query("DELETE FROM scan_notification WHERE finished_at < now() - \(seconds: age)")
    }

    /// Where the images are, and how they are called there: live tags, their own and those of indexes that name them.
    package func places(of digests: [String], on db: some Queryable) async throws -> [Place] {
        try await db.query(
            """
            SELECT m.digest, o.id, o.name, r.name, (
                SELECT coalesce(array_agg(name), '{}') FROM (
                    SELECT t.name FROM tag t
                    WHERE t.repository_id = r.id AND t.lifetime_end_at IS NULL
                        AND (t.expires_at IS NULL OR t.expires_at > now())
                        AND (t.manifest_id = m.id OR t.manifest_id IN (
                            SELECT c.parent_id FROM manifest_child c WHERE c.digest = m.digest))
                    ORDER BY t.name LIMIT 100
                ) live
            )
            FROM manifest m
            JOIN repository_manifest rm ON rm.manifest_id = m.id
            JOIN repository r ON r.id = rm.repository_id
            JOIN organization o ON o.id = r.organization_id
            WHERE m.digest = ANY(\(digests)::text[])
            ORDER BY m.digest, o.name, r.name
            """
        ).decode((String, Int64, String, String, [String]).self).map { digest, id, organization, repository, tags in
            Place(
                digest: digest,
                organization: OrganizationID(rawValue: id),
                organizationName: organization,
                repository: repository,
                tags: tags
            )
        }
    }
}
