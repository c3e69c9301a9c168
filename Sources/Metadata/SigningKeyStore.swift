// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Postgres

/// Keys that sign the registry's tokens.
package struct SigningKeyStore: Sendable {
    package struct Key: Sendable, Hashable {
        package let id: String
        /// P-256, raw representation.
        package let privateKey: [UInt8]
        /// By the database's clock.
        package let age: Duration
    }

    /// Arbitrary, but the same in every binary.
    private static let lock: Int64 = 0x656E_7472_7369_676E

    package init() {}

    /// All keys, newest first.
    package func all(on db: some Queryable) async throws -> [Key] {
        try await db.query(
            """
            SELECT id, private_key, extract(epoch FROM now() - created_at)::float8 FROM signing_key
            ORDER BY created_at DESC, id
            """
        ).decode((String, Data, Double).self).map { id, key, age in
            Key(id: id, privateKey: Array(key), age: .seconds(max(0, age)))
        }
    }

    /// Adds the key, unless somebody has just made one that is younger than `age`; removes those that are older than
    /// `retirement`, which have nothing left to verify.
    package func rotate(
        id: String,
        privateKey: [UInt8],
        unlessYoungerThan age: Duration,
        retirement: Duration,
        on client: PostgresClient
    ) async throws {
        try await client.withTransaction { transaction in
            try await transaction.query("SELECT pg_advisory_xact_lock(\(Self.lock))")
            try await transaction.query(
                """
                INSERT INTO signing_key (id, private_key)
                SELECT \(id), \(Data(privateKey))
                WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE created_at > now() - \(seconds: age))
                """
            )
            try await transaction.query("DELETE FROM signing_key WHERE created_at < now() - \(seconds: retirement)")
        }
    }
}
