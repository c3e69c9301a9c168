// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Ends of lifetimes that nobody's pull brings about, their revival, and pins.
package struct LifetimeStore: Sendable {
    private let usage = UsageStore()
    private let log = LogStore()

    package init() {}

    /// Ends tags that are past their expiration, and holds whose time is over, of one organization at a time.
    /// - Parameter limit: how many tags and holds of each organization, so that nobody waits for long
    /// - Returns: how many ended
    package func expire(limit: Int, on client: PostgresClient) async throws -> Int {
        let owners = try await client.query(
            """
            SELECT r.organization_id FROM tag t JOIN repository r ON r.id = t.repository_id
            WHERE t.lifetime_end_at IS NULL AND t.expires_at <= now()
            UNION
            SELECT r.organization_id FROM repository_manifest rm JOIN repository r ON r.id = rm.repository_id
            WHERE rm.held_until <= now()
            """
        ).decode(Int64.self)
        var ended = 0
        for owner in owners {
            ended += try await client.withTransaction { transaction in
                try await usage.lock(OrganizationID(rawValue: owner), on: transaction)
                let tags = try await transaction.query(
                    """
                    UPDATE tag SET lifetime_end_at = greatest(expires_at, lifetime_start_at), end_reason = 'expired'
                    WHERE id IN (
                        SELECT t.id FROM tag t JOIN repository r ON r.id = t.repository_id
                        WHERE r.organization_id = \(owner) AND t.lifetime_end_at IS NULL AND t.expires_at <= now()
                        ORDER BY t.id LIMIT \(limit)
                    ) AND lifetime_end_at IS NULL AND expires_at <= now()
                    RETURNING id
                    """
                ).decode(Int64.self)
                try await log.append(.expireTag, ofLifetimes: tags, on: transaction)
                let holds = try await transaction.execute(
                    """
                    UPDATE repository_manifest rm SET held_until = NULL
                    FROM (
                        SELECT m.repository_id, m.manifest_id
                        FROM repository_manifest m JOIN repository r ON r.id = m.repository_id
                        WHERE r.organization_id = \(owner) AND m.held_until <= now() LIMIT \(limit)
                    ) over
                    WHERE rm.repository_id = over.repository_id AND rm.manifest_id = over.manifest_id
                        AND rm.held_until <= now()
                    """
                )
                return tags.count + holds
            }
        }
        return ended
    }

    /// Ends a live tag, as somebody asked for. It can be revived for as long as the time machine says.
    /// - Returns: false when there is no such live tag
    package func delete(
        _ tag: TagName,
        repository: RepositoryName,
        organization: OrganizationID,
        on client: PostgresClient
    ) async throws -> Bool {
        try await client.withTransaction { transaction in
            try await usage.lock(organization, on: transaction)
            return try await transaction.execute(
                """
                UPDATE tag SET lifetime_end_at = greatest(clock_timestamp(), lifetime_start_at), end_reason = 'deleted'
                FROM repository r
                WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                    AND tag.repository_id = r.id AND tag.name = \(tag.rawValue) AND tag.lifetime_end_at IS NULL
                """
            ) == 1
        }
    }

    /// Makes the tag of an ended lifetime name that lifetime's manifest again. A live tag of that name ends as moved.
    /// - Returns: false when the organization has no such ended lifetime (any more)
    package func revive(_ lifetime: TagID, organization: OrganizationID, on client: PostgresClient) async throws -> Bool
    {
        try await client.withTransaction { transaction in
            try await usage.lock(organization, on: transaction)
            try await transaction.query(
                """
                UPDATE tag SET lifetime_end_at = greatest(clock_timestamp(), tag.lifetime_start_at), end_reason = 'moved'
                FROM tag old JOIN repository r ON r.id = old.repository_id
                WHERE old.id = \(lifetime.rawValue) AND r.organization_id = \(organization.rawValue)
                    AND old.lifetime_end_at IS NOT NULL AND tag.repository_id = old.repository_id
                    AND tag.name = old.name AND tag.lifetime_end_at IS NULL
                """
            )
            return try await transaction.execute(
                """
                INSERT INTO tag (repository_id, name, manifest_id, lifetime_start_at, checked_at, expires_at)
                SELECT old.repository_id, old.name, old.manifest_id, clock_timestamp(), old.checked_at,
                    now() + nullif(c.expiration_s, 0) * interval '1 second'
                FROM tag old
                JOIN repository r ON r.id = old.repository_id
                LEFT JOIN proxy_cache_config c ON c.organization_id = r.organization_id
                WHERE old.id = \(lifetime.rawValue) AND r.organization_id = \(organization.rawValue)
                    AND old.lifetime_end_at IS NOT NULL
                """
            ) == 1
        }
    }

    /// Keeps a tag from being pruned, whatever it names, now and later.
    /// - Returns: false when the organization has no such repository
    package func pin(
        _ tag: TagName,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        try await db.execute(
            """
            INSERT INTO tag_pin (repository_id, name)
            SELECT id, \(tag.rawValue) FROM repository
            WHERE organization_id = \(organization.rawValue) AND name = \(repository.rawValue)
            ON CONFLICT (repository_id, name) DO UPDATE SET name = excluded.name
            """
        ) == 1
    }

    /// - Returns: false when the tag isn't pinned
    package func unpin(
        _ tag: TagName,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        try await db.execute(
            """
            DELETE FROM tag_pin p USING repository r
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND p.repository_id = r.id AND p.name = \(tag.rawValue)
            """
        ) == 1
    }

    /// Names of pinned tags, in the order of their bytes.
    package func pins(
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> [TagName] {
        try await db.query(
            """
            SELECT p.name FROM tag_pin p JOIN repository r ON r.id = p.repository_id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            ORDER BY p.name COLLATE "C"
            """
        ).decode(String.self).map { try parsed($0, "name") }
    }

    /// Whether pruned tags can be revived for as long as other ended ones.
    package func keepsPruned(_ organization: OrganizationID, on db: some Queryable) async throws -> Bool {
        try await db.query("SELECT keeps_pruned FROM organization WHERE id = \(organization.rawValue)")
            .decodeFirst(Bool.self) ?? false
    }
}
