// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// What organizations and repositories use, and the lock that everything takes which changes it.
///
/// Lock order: organizations by their ids, then blobs by their digests, then manifests, then anything else.
package struct UsageStore: Sendable {
    private static let columns = "used_bytes, reserved_bytes, reclaimable_bytes"

    package init() {}

    /// One row. Zero for an organization that isn't there.
    package func usage(of organization: OrganizationID, on db: some Queryable) async throws -> Usage {
        try await db.query(
            """
            SELECT \(unescaped: Self.columns) FROM organization_usage
            WHERE organization_id = \(organization.rawValue)
            """
        ).first.map(Self.usage) ?? Usage()
    }

    /// Nil when the organization has no such repository.
    package func usage(
        of repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Usage? {
        try await db.query(
            """
            SELECT coalesce(u.used_bytes, 0), coalesce(u.reserved_bytes, 0), coalesce(u.reclaimable_bytes, 0)
            FROM repository r LEFT JOIN repository_usage u ON u.repository_id = r.id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            """
        ).first.map(Self.usage)
    }

    /// Usage of all repositories of an organization that have any.
    package func usages(
        ofRepositoriesIn organization: OrganizationID,
        on db: some Queryable
    ) async throws -> [RepositoryName: Usage] {
        let rows = try await db.query(
            """
            SELECT r.name, u.used_bytes, u.reserved_bytes, u.reclaimable_bytes
            FROM repository r JOIN repository_usage u ON u.repository_id = r.id
            WHERE r.organization_id = \(organization.rawValue)
            """
        ).decode((String, Int64, Int64, Int64).self)
        return Dictionary(
            uniqueKeysWithValues: try rows.map { name, used, reserved, reclaimable in
                let usage = Usage(usedBytes: used, reservedBytes: reserved, reclaimableBytes: reclaimable)
                return (try parsed(name, "name"), usage)
            }
        )
    }

    /// Organizations that use most, with their limits, if any.
    package func largest(_ count: Int, on db: some Queryable) async throws -> [OrganizationUsage] {
        let rows = try await db.query(
            """
            SELECT o.name, u.used_bytes, u.reserved_bytes, u.reclaimable_bytes, q.limit_bytes
            FROM organization_usage u JOIN organization o ON o.id = u.organization_id
            LEFT JOIN quota q ON q.organization_id = o.id
            ORDER BY u.used_bytes DESC, o.id LIMIT \(count)
            """
        ).decode((String, Int64, Int64, Int64, Int64?).self)
        return try rows.map { name, used, reserved, reclaimable, limit in
            OrganizationUsage(
                name: try parsed(name, "name"),
                usage: Usage(usedBytes: used, reservedBytes: reserved, reclaimableBytes: reclaimable),
                limitBytes: limit
            )
        }
    }

    // MARK: - Locks

    /// Takes the organization's lock until the transaction ends. Take it before anything else.
    package func lock(_ organization: OrganizationID, on transaction: some Queryable) async throws {
        try await lock([organization], on: transaction)
    }

    /// The same for several, in an order in which no two of these wait for each other in a circle.
    package func lock(_ organizations: [OrganizationID], on transaction: some Queryable) async throws {
        guard !organizations.isEmpty else { return }
        try await transaction.query(
            """
            SELECT 1 FROM organization_usage
            WHERE organization_id = ANY(\(organizations.map(\.rawValue))::bigint[])
            ORDER BY organization_id FOR UPDATE
            """
        )
    }

    /// The lock of the organization that has the repository.
    func lock(owning repository: RepositoryID, on transaction: some Queryable) async throws {
        try await transaction.query(
            """
            SELECT 1 FROM organization_usage
            WHERE organization_id = (SELECT organization_id FROM repository WHERE id = \(repository.rawValue)) FOR UPDATE
            """
        )
    }

    /// Takes the locks of all organizations that have the blob, and the blob's, before its bytes come or go.
    package func lockHolders(of digest: Digest, on transaction: Connection) async throws {
        try await transaction.query("SAVEPOINT holders")
        while true {
            let holders = try await holders(of: digest, on: transaction)
            try await lock(holders, on: transaction)
            try await transaction.query("SELECT 1 FROM blob WHERE digest = \(digest.description) FOR NO KEY UPDATE")
            // Who comes to have it from here on waits for the blob, and sees what we made of it. Who came to have it
            // while we waited has to be locked in its turn.
            if Set(try await self.holders(of: digest, on: transaction)).isSubset(of: holders) { break }
            try await transaction.query("ROLLBACK TO SAVEPOINT holders")
        }
        try await transaction.query("RELEASE SAVEPOINT holders")
    }

    private func holders(of digest: Digest, on db: some Queryable) async throws -> [OrganizationID] {
        try await db.query(
            "SELECT organization_id FROM organization_content WHERE digest = \(digest.description) AND NOT is_manifest"
        ).decode(Int64.self).map(OrganizationID.init(rawValue:))
    }

    // MARK: - Proof

    /// Compares the counts of an organization with what is there, and repairs them if they are wrong. Pulls wait for the
    /// repair only; the comparison reads a snapshot.
    /// - Returns: what was wrong; nil when nothing was
    package func recompute(_ organization: OrganizationID, on client: PostgresClient) async throws -> UsageDrift? {
        let wrong = try await client.withTransaction(isolation: .repeatableRead) { transaction in
            try await drift(of: organization, on: transaction)
        }
        guard wrong != (0, 0, 0) else { return nil }
        return try await client.withTransaction { transaction in
            try await lock(organization, on: transaction)
            let (memberships, contents, sums) = try await drift(of: organization, on: transaction)
            guard (memberships, contents, sums) != (0, 0, 0) else { return nil }
            let before = try await usage(of: organization, on: transaction)
            try await transaction.query("SELECT repair_usage(\(organization.rawValue))")
            return UsageDrift(
                before: before,
                after: try await usage(of: organization, on: transaction),
                memberships: memberships,
                contents: contents,
                sums: sums
            )
        }
    }

    /// Rows that are wrong.
    private func drift(
        of organization: OrganizationID,
        on transaction: some Queryable
    ) async throws -> (memberships: Int, contents: Int, sums: Int) {
        let counts = try await transaction.query(
            "SELECT memberships, contents, sums FROM usage_drift(\(organization.rawValue))"
        ).decodeFirst((Int, Int, Int).self)
        guard let counts else { throw MetadataError(.corruptRow, "usage_drift returned no row") }
        return counts
    }

    private static func usage(_ row: Row) throws -> Usage {
        let (used, reserved, reclaimable) = try row.decode((Int64, Int64, Int64).self)
        return Usage(usedBytes: used, reservedBytes: reserved, reclaimableBytes: reclaimable)
    }
}

/// What an organization uses, and may use.
package struct OrganizationUsage: Sendable, Hashable {
    package let name: OrganizationName
    package let usage: Usage
    /// Nil for no limit.
    package let limitBytes: Int64?
}
