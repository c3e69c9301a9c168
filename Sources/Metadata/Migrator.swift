// SPDX-License-Identifier: Apache-2.0

package import Postgres

/// Brings a database's schema to what this binary needs. Forward only.
package struct Migrator: Sendable {
    /// Arbitrary, but the same in every binary: two migrators at once wait for each other.
    private static let advisoryLock: Int64 = 0x656E_7472_6570_6F74
    /// How long a migration may take, which may count a large database anew, and how long another migrator is waited for.
    private static let patience: Duration = .seconds(6 * 3_600)

    private let migrations: [Migration]

    package init(migrations: [Migration] = Migration.all) {
        self.migrations = migrations
    }

    /// Applies what is missing, each migration in a transaction of its own, under an advisory lock. Leaves a schema alone
    /// that is newer, if it is one that this program can run with.
    /// - Returns: the migrations that were applied now; none when the schema was current.
    /// - Throws: ``MetadataError`` when the database was migrated by another history, or past what this program can run with.
    @discardableResult
    package func migrate(_ client: PostgresClient) async throws -> [Migration] {
        let patient = client.separate(connections: 1, patience: Self.patience)
        do {
            let applied = try await patient.withConnection { connection in
                // Another migrator may take its time. What a migration itself waits for has the session's limit: behind it wait
                // the services.
                try await connection.query("BEGIN")
                try await connection.query("SET LOCAL lock_timeout = 0")
                try await connection.query("SELECT pg_advisory_lock(\(Self.advisoryLock))")
                try await connection.query("COMMIT")
                return try await migrate(on: connection)
            }
            // The lock goes with the session.
            await patient.close()
            return applied
        } catch {
            await patient.close()
            throw error
        }
    }

    /// Throws ``MetadataError`` unless the database has the migrations that this binary knows, and none beyond them that
    /// this program can't run with.
    package func check(_ client: PostgresClient) async throws {
        let exists = try await client.query("SELECT to_regclass('schema_migration') IS NOT NULL").decodeFirst(Bool.self)
        let applied = exists == true ? try await applied(on: client) : []
        try verify(applied)
        guard applied.count >= migrations.count else {
            throw MetadataError(
                .schemaTooOld,
                "the database has \(applied.count) of \(migrations.count) migrations; run `entrepot migrate`"
            )
        }
    }

    private func migrate(on connection: Connection) async throws -> [Migration] {
        try await connection.query(
            """
            CREATE TABLE IF NOT EXISTS schema_migration (
                version integer PRIMARY KEY,
                name text NOT NULL,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        // The oldest program that can run with it; NULL for no other than those that know it.
        try await connection.query("ALTER TABLE schema_migration ADD COLUMN IF NOT EXISTS oldest_program integer")
        let applied = try await applied(on: connection)
        try verify(applied)
        let pending = Array(migrations.dropFirst(applied.count))
        for migration in pending {
            try await apply(migration, on: connection)
        }
        return pending
    }

    private func apply(_ migration: Migration, on connection: Connection) async throws {
        try await connection.query("BEGIN")
        do {
            try await connection.runScript(migration.sql)
            try await connection.query(
                """
                INSERT INTO schema_migration (version, name, checksum, oldest_program)
                VALUES (\(migration.version), \(migration.name), \(migration.checksum), \(migration.oldestProgram))
                """
            )
            try await connection.query("COMMIT")
        } catch {
            _ = try? await connection.query("ROLLBACK")  // the migration's own error is the one that counts
            throw error
        }
    }

    private struct Applied {
        let version: Int
        let checksum: String
        let oldestProgram: Int
    }

    private func applied(on db: some Queryable) async throws -> [Applied] {
        // By way of JSON: the column comes with the next migrator.
        try await db.query(
            """
            SELECT version, checksum, coalesce((to_jsonb(m) ->> 'oldest_program')::integer, version)
            FROM schema_migration m ORDER BY version
            """
        ).decode((Int, String, Int).self).map { Applied(version: $0.0, checksum: $0.1, oldestProgram: $0.2) }
    }

    private func verify(_ applied: [Applied]) throws {
        for (index, row) in applied.enumerated() {
            guard index < migrations.count else {
                guard row.oldestProgram <= migrations.count else {
                    throw MetadataError(
                        .schemaTooNew,
                        "the database has migration \(row.version), which this program can't run with"
                    )
                }
                continue
            }
            let known = migrations[index]
            guard known.version == row.version, known.checksum == row.checksum else {
                throw MetadataError(
                    .schemaMismatch,
                    "migration \(row.version) in the database isn't the \(known.version) of this program"
                )
            }
        }
    }
}
