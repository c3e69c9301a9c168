// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Ends of lifetimes that nobody's pull brings about, their revival, and pins.
package struct LifetimeStore: Sendable {
    private let usage = UsageStore()
    private let log = LogStore()

    package init() {}

    /// Tags that are past their expiration, and holds whose time is over, of one organization.
    package struct Overdue: Sendable, Hashable {
        package let organization: OrganizationID
        let tags: [Int64]
        let holds: [PruneGraph.MemberKey]
    }

    /// What is over, organization by organization. Reads all tags: an index of expirations would cost each pull more than
    /// this does.
    /// - Parameter limit: of tags, and of holds
    package func overdue(limit: Int, on db: some Queryable) async throws -> [Overdue] {
        let tags = try await db.query(
            """
            SELECT r.organization_id, t.id FROM tag t JOIN repository r ON r.id = t.repository_id
            WHERE t.lifetime_end_at IS NULL AND t.expires_at <= now() LIMIT \(limit)
            """
        ).decode((Int64, Int64).self)
        let holds = try await db.query(
            """
            SELECT r.organization_id, rm.repository_id, rm.manifest_id
            FROM repository_manifest rm JOIN repository r ON r.id = rm.repository_id
            WHERE rm.held_until <= now() LIMIT \(limit)
            """
        ).decode((Int64, Int64, Int64).self)
        let tagsByOwner = Dictionary(grouping: tags, by: \.0)
        let holdsByOwner = Dictionary(grouping: holds, by: \.0)
        return Set(tagsByOwner.keys).union(holdsByOwner.keys).map { owner in
            Overdue(
                organization: OrganizationID(rawValue: owner),
                tags: (tagsByOwner[owner] ?? []).map(\.1).sorted(),
                holds: (holdsByOwner[owner] ?? []).map {
                    .init(repository: RepositoryID(rawValue: $0.1), manifest: ManifestID(rawValue: $0.2))
                }
            )
        }
    }

    /// Ends what is over, unless it has been renewed meanwhile.
    /// - Parameter count: how many tags and holds in one transaction, so that nobody waits for the organization's lock for long
    /// - Returns: how many ended
    package func end(_ overdue: Overdue, together count: Int, on client: PostgresClient) async throws -> Int {
        var ended = 0
        for start in stride(from: 0, to: max(overdue.tags.count, overdue.holds.count), by: count) {
            let tags = Array(overdue.tags.dropFirst(start).prefix(count))
            let holds = Array(overdue.holds.dropFirst(start).prefix(count))
            ended += try await client.withTransaction { transaction in
                try await usage.lock(overdue.organization, on: transaction)
                return try await end(tags: tags, on: transaction) + (try await end(holds: holds, on: transaction))
            }
        }
        return ended
    }

    private func end(tags: [Int64], on transaction: some Queryable) async throws -> Int {
        guard !tags.isEmpty else { return 0 }
        let ended = try await transaction.query(
            """
            UPDATE tag SET lifetime_end_at = greatest(expires_at, lifetime_start_at), end_reason = 'expired'
            WHERE id = ANY(\(tags)::bigint[]) AND lifetime_end_at IS NULL AND expires_at <= now()
            RETURNING id
            """
        ).decode(Int64.self)
        try await log.append(.expireTag, ofLifetimes: ended, on: transaction)
        return ended.count
    }

    private func end(holds: [PruneGraph.MemberKey], on transaction: some Queryable) async throws -> Int {
        guard !holds.isEmpty else { return 0 }
        return try await transaction.execute(
            """
            UPDATE repository_manifest rm SET held_until = NULL
            FROM unnest(\(holds.map(\.repository.rawValue))::bigint[], \(holds.map(\.manifest.rawValue))::bigint[])
                AS over (repository_id, manifest_id)
            WHERE rm.repository_id = over.repository_id AND rm.manifest_id = over.manifest_id AND rm.held_until <= now()
            """
        )
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
