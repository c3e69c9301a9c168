// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import Postgres

/// Random secrets that stand for accounts, by their hashes.
package struct AccessTokenStore: Sendable {
    package init() {}

    /// - Parameters:
    ///   - hash: SHA-256 of the token
    ///   - lifetime: nil for a token that never expires
    ///   - maker: the token by which it is made, which it doesn't outlive: it is revoked with it, too
    package func make(
        _ name: String,
        hash: [UInt8],
        scopes: [String],
        of account: AccountID,
        lifetime: Duration?,
        by maker: AccessTokenID? = nil,
        on db: some Queryable
    ) async throws -> AccessTokenID {
        let id = try await db.query(
            """
            INSERT INTO access_token (account_id, name, hash, scopes, maker_id, expires_at)
            VALUES (\(account.rawValue), \(name), \(Data(hash)), \(scopes)::text[], \(maker?.rawValue),
                least(
                    now() + \(seconds: lifetime),
                    (SELECT expires_at FROM access_token WHERE id = \(maker?.rawValue)::bigint)
                ))
            RETURNING id
            """
        ).decodeFirst(Int64.self)
        guard let id else { throw MetadataError(.corruptRow, "INSERT INTO access_token returned no row") }
        return AccessTokenID(rawValue: id)
    }

    /// The token of this hash and its account, if it is still good. The account may be disabled.
    package func find(
        hash: [UInt8],
        on db: some Queryable
    ) async throws -> (token: AccessTokenID, account: AccountID, scopes: [String])? {
        try await db.query(
            """
            SELECT id, account_id, scopes FROM access_token
            WHERE hash = \(Data(hash)) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
            """
        ).decodeFirst((Int64, Int64, [String]).self).map { token, account, scopes in
            (AccessTokenID(rawValue: token), AccountID(rawValue: account), scopes)
        }
    }

    /// Tokens of the account that are still good.
    package func live(of account: AccountID, on db: some Queryable) async throws -> Set<AccessTokenID> {
        let ids = try await db.query(
            """
            SELECT id FROM access_token WHERE account_id = \(account.rawValue)
                AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
            """
        ).decode(Int64.self)
        return Set(ids.map(AccessTokenID.init(rawValue:)))
    }

    /// Tokens of the account that weren't revoked: those that are still good, then those that have expired, newest first.
    package func list(of account: AccountID, limit: Int, on db: some Queryable) async throws -> [AccessTokenSummary] {
        try await summaries(of: account, only: nil, limit: limit, on: db)
    }

    /// Nil when the account has no such token, or it was revoked.
    package func summary(
        of token: AccessTokenID,
        account: AccountID,
        on db: some Queryable
    ) async throws -> AccessTokenSummary? {
        try await summaries(of: account, only: token, limit: 1, on: db).first
    }

    private func summaries(
        of account: AccountID,
        only token: AccessTokenID?,
        limit: Int,
        on db: some Queryable
    ) async throws -> [AccessTokenSummary] {
        try await db.query(
            """
            SELECT id, name, scopes, extract(epoch FROM created_at)::float8, extract(epoch FROM expires_at)::float8,
                extract(epoch FROM last_used_at)::float8
            FROM access_token WHERE account_id = \(account.rawValue) AND revoked_at IS NULL
                AND (\(token?.rawValue)::bigint IS NULL OR id = \(token?.rawValue))
            ORDER BY coalesce(expires_at <= now(), false), id DESC LIMIT \(limit)
            """
        ).decode((Int64, String, [String], Double, Double?, Double?).self).map { id, name, scopes, made, ends, used in
            AccessTokenSummary(
                id: AccessTokenID(rawValue: id),
                name: name,
                scopes: scopes,
                createdAt: made,
                expiresAt: ends,
                lastUsedAt: used
            )
        }
    }

    /// Makes all tokens of the account worthless.
    package func revokeAll(of account: AccountID, on db: some Queryable) async throws {
        try await db.query(
            "UPDATE access_token SET revoked_at = now() WHERE account_id = \(account.rawValue) AND revoked_at IS NULL"
        )
    }

    /// Makes a token worthless, and those that were made by it.
    /// - Returns: false when there is no such token that wasn't revoked before
    package func revoke(_ token: AccessTokenID, of account: AccountID, on db: some Queryable) async throws -> Bool {
        try await db.execute(
            """
            WITH RECURSIVE made (id) AS (
                SELECT id FROM access_token
                WHERE id = \(token.rawValue) AND account_id = \(account.rawValue) AND revoked_at IS NULL
                UNION
                SELECT t.id FROM made JOIN access_token t ON t.maker_id = made.id
            )
            UPDATE access_token SET revoked_at = now() WHERE id IN (SELECT id FROM made) AND revoked_at IS NULL
            """
        ) > 0
    }

    /// Removes some of those that have been worthless for so long.
    package func sweep(worthlessFor age: Duration, on db: some Queryable) async throws {
        try await db.query(
            """
            DELETE FROM access_token WHERE id IN (
                SELECT id FROM access_token WHERE least(revoked_at, expires_at) < now() - \(seconds: age) LIMIT 1000
            )
            """
        )
    }

    /// Remembers that it was used, to the minute.
    package func noteUse(_ token: AccessTokenID, on db: some Queryable) async throws {
        try await db.query(
            """
            UPDATE access_token SET last_used_at = now()
            WHERE id = \(token.rawValue) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
            """
        )
    }
}

/// A token, as lists tell of it. Times are seconds since 1970.
package struct AccessTokenSummary: Sendable, Hashable {
    package let id: AccessTokenID
    package let name: String
    package let scopes: [String]
    package let createdAt: Double
    package let expiresAt: Double?
    package let lastUsedAt: Double?
}
