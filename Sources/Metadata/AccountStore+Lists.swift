// SPDX-License-Identifier: Apache-2.0

package import Models
import OCI
package import Postgres

/// An account, as lists tell of it.
package struct AccountSummary: Sendable, Hashable {
    package let name: AccountName
    package let isSuperuser: Bool
    package let isEnabled: Bool
    package let description: String
    /// Seconds since 1970.
    package let createdAt: Double
    package let lastLoginAt: Double?
    /// In the organization that was asked about.
    package let role: OrganizationRole?
}

extension AccountStore {
    private var columns: String {
        """
        a.name, a.is_superuser, a.is_enabled, a.description, extract(epoch FROM a.created_at)::float8,
        extract(epoch FROM coalesce(a.last_login_at, (
            SELECT max(t.last_used_at) FROM access_token t WHERE t.account_id = a.id
        )))::float8
        """
    }

    /// People, by name.
    package func users(after name: String = "", limit: Int, on db: some Queryable) async throws -> [AccountSummary] {
        try await page("a.kind = 'user'", of: nil, after: name, limit: limit, on: db)
    }

    /// People who have a role in the organization, by name.
    package func members(
        of organization: OrganizationID,
        after name: String = "",
        limit: Int,
        on db: some Queryable
    ) async throws -> [AccountSummary] {
        try await page("m.role IS NOT NULL", of: organization, after: name, limit: limit, on: db)
    }

    /// Robots of the organization, by name.
    package func robots(
        of organization: OrganizationID,
        after name: String = "",
        limit: Int,
        on db: some Queryable
    ) async throws -> [AccountSummary] {
        try await page("a.organization_id = asked.id", of: organization, after: name, limit: limit, on: db)
    }

    /// - Parameter organization: whose roles are told
    private func page(
        _ condition: String,
        of organization: OrganizationID?,
        after name: String,
        limit: Int,
        on db: some Queryable
    ) async throws -> [AccountSummary] {
        try await db.query(
            """
            SELECT \(unescaped: columns), m.role
            FROM (SELECT \(organization?.rawValue)::bigint AS id) asked
            CROSS JOIN account a
            LEFT JOIN membership m ON m.account_id = a.id AND m.organization_id = asked.id
            WHERE \(unescaped: condition) AND a.name COLLATE "C" > \(name)
            ORDER BY a.name COLLATE "C" LIMIT \(limit)
            """
        ).map(Self.summary)
    }

    package func summary(of name: AccountName, on db: some Queryable) async throws -> AccountSummary? {
        try await db.query("SELECT \(unescaped: columns), NULL FROM account a WHERE a.name = \(name.rawValue)")
            .first.map(Self.summary)
    }

    /// Organizations that the account has a role in, by name.
    package func organizations(
        of account: AccountID,
        on db: some Queryable
    ) async throws -> [(name: OrganizationName, role: OrganizationRole)] {
        try await db.query(
            """
            SELECT o.name, m.role FROM membership m JOIN organization o ON o.id = m.organization_id
            WHERE m.account_id = \(account.rawValue) ORDER BY o.name COLLATE "C"
            """
        ).decode((String, String).self).map { (try parsed($0, "name"), try parsed($1, "role")) }
    }

    /// Removes an account with its roles and tokens. The log keeps its name.
    package func delete(_ account: AccountID, on db: some Queryable) async throws {
        try await db.query("DELETE FROM account WHERE id = \(account.rawValue)")
    }

    private static func summary(_ row: Row) throws -> AccountSummary {
        let (name, isSuperuser, isEnabled, description, created, login, role) = try row.decode(
            (String, Bool, Bool, String, Double, Double?, String?).self
        )
        return AccountSummary(
            name: try parsed(name, "name"),
            isSuperuser: isSuperuser,
            isEnabled: isEnabled,
            description: description,
            createdAt: created,
            lastLoginAt: login,
            role: try role.map { try parsed($0, "role") }
        )
    }
}
