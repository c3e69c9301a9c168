// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import Postgres

/// Accounts, their roles and their passwords.
package struct AccountStore: Sendable {
    private let columns = """
        a.id, a.kind::text, a.name, a.is_superuser, a.is_enabled, a.password_generation,
        extract(epoch FROM a.created_at)::float8,
        ARRAY(SELECT organization_id FROM membership m WHERE m.account_id = a.id ORDER BY organization_id)
            || CASE WHEN a.organization_id IS NULL THEN '{}'::bigint[] ELSE ARRAY[a.organization_id] END,
        ARRAY(SELECT role FROM membership m WHERE m.account_id = a.id ORDER BY organization_id)
            || CASE WHEN a.organization_id IS NULL THEN '{}'::text[] ELSE ARRAY['reader'] END
        """

    package init() {}

    package func find(_ id: AccountID, on db: some Queryable) async throws -> Account? {
        try await db.query("SELECT \(unescaped: columns) FROM account a WHERE a.id = \(id.rawValue)")
            .first.map(Self.account)
    }

    package func find(_ name: AccountName, on db: some Queryable) async throws -> Account? {
        try await db.query("SELECT \(unescaped: columns) FROM account a WHERE a.name = \(name.rawValue)")
            .first.map(Self.account)
    }

    /// Makes a person's account.
    /// - Parameter passwordHash: as ``PasswordHash`` writes it
    /// - Returns: nil when the name is taken
    package func makeUser(
        _ name: AccountName,
        passwordHash: String,
        isSuperuser: Bool,
        on db: some Queryable
    ) async throws -> AccountID? {
        try await db.query(
            """
            INSERT INTO account (kind, name, password_hash, is_superuser)
            VALUES ('user', \(name.rawValue), \(passwordHash), \(isSuperuser))
            ON CONFLICT (name) DO NOTHING RETURNING id
            """
        ).decodeFirst(Int64.self).map(AccountID.init(rawValue:))
    }

    /// Makes a robot of an organization; it can log in once it has a token.
    /// - Returns: nil when the name is taken
    package func makeRobot(
        _ name: AccountName,
        of organization: OrganizationID,
        description: String,
        on db: some Queryable
    ) async throws -> AccountID? {
        try await db.query(
            """
            INSERT INTO account (kind, name, organization_id, description)
            VALUES ('robot', \(name.rawValue), \(organization.rawValue), \(description))
            ON CONFLICT (name) DO NOTHING RETURNING id
            """
        ).decodeFirst(Int64.self).map(AccountID.init(rawValue:))
    }

    package func passwordHash(of account: AccountID, on db: some Queryable) async throws -> String? {
        try await db.query("SELECT password_hash FROM account WHERE id = \(account.rawValue)")
            .decode(String?.self).first ?? nil
    }

    /// Ends what was given out for the password before, too.
    package func setPassword(_ hash: String, of account: AccountID, on db: some Queryable) async throws {
        try await db.query(
            """
            UPDATE account SET password_hash = \(hash), password_generation = password_generation + 1
            WHERE id = \(account.rawValue)
            """
        )
    }

    package func setEnabled(_ isEnabled: Bool, _ account: AccountID, on db: some Queryable) async throws {
        try await db.query("UPDATE account SET is_enabled = \(isEnabled) WHERE id = \(account.rawValue)")
    }

    /// - Parameter role: nil takes the membership away
    package func setRole(
        _ role: OrganizationRole?,
        of account: AccountID,
        in organization: OrganizationID,
        on db: some Queryable
    ) async throws {
        guard let role else {
            try await db.query(
                """
                DELETE FROM membership
                WHERE organization_id = \(organization.rawValue) AND account_id = \(account.rawValue)
                """
            )
            return
        }
        try await db.query(
            """
            INSERT INTO membership (organization_id, account_id, role)
            VALUES (\(organization.rawValue), \(account.rawValue), \(role.rawValue))
            ON CONFLICT (organization_id, account_id) DO UPDATE SET role = excluded.role
            """
        )
    }

    /// Whether anybody may do everything.
    package func hasSuperuser(on db: some Queryable) async throws -> Bool {
        let rows = try await db.query("SELECT 1 FROM account WHERE is_superuser LIMIT 1")
        return !rows.isEmpty
    }

    /// The oldest account that may do everything.
    package func anySuperuser(on db: some Queryable) async throws -> AccountID? {
        try await db.query("SELECT id FROM account WHERE is_superuser AND is_enabled ORDER BY id LIMIT 1")
            .decodeFirst(Int64.self).map(AccountID.init(rawValue:))
    }

    package func noteLogin(_ account: AccountID, on db: some Queryable) async throws {
        try await db.query("UPDATE account SET last_login_at = now() WHERE id = \(account.rawValue)")
    }

    private static func account(_ row: Row) throws -> Account {
        let (id, kind, name, isSuperuser, isEnabled, generation, created, organizations, roles) = try row.decode(
            (Int64, String, String, Bool, Bool, Int, Double, [Int64], [String]).self
        )
        guard let kind = Account.Kind(rawValue: kind) else {
            throw MetadataError(.corruptRow, "account \(id): \(kind)")
        }
        let pairs = try zip(organizations, roles).map { organization, role -> (OrganizationID, OrganizationRole) in
            (OrganizationID(rawValue: organization), try parsed(role, "role"))
        }
        return Account(
            id: AccountID(rawValue: id),
            kind: kind,
            name: try parsed(name, "name"),
            isSuperuser: isSuperuser,
            isEnabled: isEnabled,
            passwordGeneration: generation,
            createdAt: created,
            roles: Dictionary(pairs) { max($0, $1) }
        )
    }
}
