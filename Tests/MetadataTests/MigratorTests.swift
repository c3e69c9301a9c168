// SPDX-License-Identifier: Apache-2.0

import Logging
import Models
import Postgres
import TestSupport
import Testing

@testable import Metadata

@Suite("Migrations", .timeLimit(.minutes(2)))
struct MigratorTests {
    // Not repeatable on purpose: a second application would fail.
    private static let first = Migration(
        version: 1,
        name: "one",
        sql: "CREATE TABLE a (n int); INSERT INTO a VALUES (1);"
    )
    private static let second = Migration(version: 2, name: "two", sql: "CREATE TABLE b (n int)")
    private static let third = Migration(version: 3, name: "three", sql: "ALTER TABLE b ADD COLUMN m int")

    private func withEmptyDatabase(_ body: (PostgresClient) async throws -> Void) async throws {
        try await TestDatabase.withClient(of: await PostgresCluster.shared().makeDatabase(), body)
    }

    private func code(_ body: () async throws -> Void) async throws -> MetadataError.Code? {
        do {
            try await body()
            return nil
        } catch let error as MetadataError {
            return error.code
        }
    }

    private func versions(_ client: PostgresClient) async throws -> [Int] {
        try await client.query("SELECT version FROM schema_migration ORDER BY version").decode(Int.self)
    }

    @Test("an empty database is too old until it is migrated, and then current")
    func fromNothing() async throws {
        try await withEmptyDatabase { client in
            let migrator = Migrator()
            #expect(try await code { try await migrator.check(client) } == .schemaTooOld)
            #expect(try await migrator.migrate(client) == Migration.all)
            try await migrator.check(client)
            #expect(try await migrator.migrate(client).isEmpty, "each is applied once")
            try await migrator.check(client)
        }
    }

    @Test("our own migrations are numbered without a gap")
    func numbering() {
        #expect(Migration.all.map(\.version) == Array(1...Migration.all.count))
        #expect(Set(Migration.all.map(\.name)).count == Migration.all.count)
        #expect(Migration.all.allSatisfy { (1...$0.version).contains($0.oldestProgram) })
    }

    @Test("a checksum is the SHA-256 of the SQL, so every change of it shows")
    func checksum() {
        let empty = Migration(version: 1, name: "x", sql: "")
        #expect(empty.checksum == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(Migration(version: 1, name: "x", sql: " ").checksum != empty.checksum)
    }

    @Test("only what is missing is applied")
    func upgrade() async throws {
        try await withEmptyDatabase { client in
            #expect(try await Migrator(migrations: [Self.first]).migrate(client) == [Self.first])
            let newer = Migrator(migrations: [Self.first, Self.second, Self.third])
            #expect(try await code { try await newer.check(client) } == .schemaTooOld)
            #expect(try await newer.migrate(client) == [Self.second, Self.third])
            try await newer.check(client)
            #expect(try await versions(client) == [1, 2, 3])
        }
    }

    @Test("blobs that an index lists are told from its children where it was stored before that was known")
    func listedBlobs() async throws {
        try await withEmptyDatabase { client in
            _ = try await Migrator(migrations: Array(Migration.all.prefix(17))).migrate(client)
            let stores = Stores(client: client, organization: try await Stores.makeOrganization(on: client))
            func links() async throws -> [String] {
                try await client.query(
                    """
                    SELECT concat_ws(' ', manifest_id, position, role, digest, size_bytes, media_type)
                    FROM manifest_blob ORDER BY manifest_id, position
                    """
                ).decode(String.self)
            }
            func isCountedRight() async throws -> Bool {
                try await client.query(
                    "SELECT 1 FROM usage_drift(\(stores.organization.rawValue)) WHERE memberships + contents + sums > 0"
                ).isEmpty
            }
            try await stores.tag("cache", .unique())
            try await stores.tag("index", .index([.unique(), .unique()]))
            let (_, cache) = try await stores.store(.cache(layers: [.text("layer")]))
            let new = try await links()
            // As older programs have left it.
            try await client.query(
                """
                WITH listed AS (DELETE FROM manifest_blob WHERE manifest_id = \(cache.rawValue) RETURNING *)
                INSERT INTO manifest_child (parent_id, position, digest, size_bytes, media_type)
                SELECT manifest_id, position, digest, size_bytes, media_type FROM listed
                """
            )
            try await client.query("SELECT repair_usage(\(stores.organization.rawValue))")
            #expect(try await isCountedRight())
            #expect(try await links().count < new.count)

            #expect(try await Migrator().migrate(client).first?.version == 18)
            #expect(try await links() == new)
            #expect(try await isCountedRight())
            #expect(try await client.query("SELECT 1 FROM manifest_child").count == 2, "those that are manifests stay")
        }
    }

    @Test("migrators that start at once apply each migration once, and none of them fails")
    func concurrent() async throws {
        try await withEmptyDatabase { client in
            let migrator = Migrator(migrations: [Self.first, Self.second, Self.third])
            let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
                for _ in 0..<8 { group.addTask { try await migrator.migrate(client).map(\.version) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(applied.filter { !$0.isEmpty } == [[1, 2, 3]])
            try await migrator.check(client)
        }
    }

    @Test("a migration may take longer than any other statement, and so may the one that waits for it")
    func patience() async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        try await TestDatabase.withClient(of: database) { watcher in
            var configuration = PostgresConfiguration.patient(database, maximumConnections: 2)
            configuration.queryTimeout = .milliseconds(100)
            configuration.statementTimeout = .milliseconds(100)
            configuration.lockTimeout = .milliseconds(100)
            let hasty = PostgresClient(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let slow = Migration(version: 1, name: "slow", sql: "CREATE TABLE slow (); SELECT pg_sleep(2)")
            async let first = Migrator(migrations: [slow]).migrate(hasty)
            try await eventually("it is at it") {
                try await watcher.query(
                    """
                    SELECT 1 FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event = 'PgSleep'
                    """
                ).count == 1
            }
            async let second = Migrator(migrations: [slow]).migrate(hasty)
            let applied = try await [first, second].map(\.count)
            #expect(applied == [1, 0])
            await hasty.close()
        }
    }

    @Test("a database that a newer program migrated is refused and left alone")
    func newer() async throws {
        try await withEmptyDatabase { client in
            try await Migrator(migrations: [Self.first, Self.second]).migrate(client)
            let older = Migrator(migrations: [Self.first])
            #expect(try await code { try await older.check(client) } == .schemaTooNew)
            #expect(try await code { _ = try await older.migrate(client) } == .schemaTooNew)
            #expect(try await versions(client) == [1, 2])
        }
    }

    @Test("a program goes on with a newer schema that says it can, and migrates nothing")
    func compatible() async throws {
        try await withEmptyDatabase { client in
            let additive = Migration(version: 2, name: "two", oldestProgram: 1, sql: Self.second.sql)
            let last = Migration(version: 3, name: "three", oldestProgram: 2, sql: Self.third.sql)
            let old = Migrator(migrations: [Self.first])
            let middle = Migrator(migrations: [Self.first, additive])
            try await middle.migrate(client)
            try await old.check(client)
            #expect(try await old.migrate(client).isEmpty)

            // The middle one can run with the last; the old one can't, whatever the middle said.
            try await Migrator(migrations: [Self.first, additive, last]).migrate(client)
            try await middle.check(client)
            #expect(try await code { try await old.check(client) } == .schemaTooNew)
            #expect(try await versions(client) == [1, 2, 3])
        }
    }

    @Test("a schema that was made before it was noted who can run with it is for those who know it")
    func unnoted() async throws {
        try await withEmptyDatabase { client in
            try await Migrator(migrations: [Self.first, Self.second]).migrate(client)
            try await client.query("ALTER TABLE schema_migration DROP COLUMN oldest_program")
            try await Migrator(migrations: [Self.first, Self.second]).check(client)
            #expect(try await code { try await Migrator(migrations: [Self.first]).check(client) } == .schemaTooNew)
            try await Migrator(migrations: [Self.first, Self.second, Self.third]).migrate(client)
            #expect(try await code { try await Migrator(migrations: [Self.first]).check(client) } == .schemaTooNew)
        }
    }

    @Test("a migration that was changed after it was applied is refused, and nothing is applied after it")
    func changed() async throws {
        try await withEmptyDatabase { client in
            try await Migrator(migrations: [Self.first]).migrate(client)
            let changed = Migration(version: 1, name: "one", sql: Self.first.sql + " ")
            let migrator = Migrator(migrations: [changed, Self.second])
            #expect(try await code { try await migrator.check(client) } == .schemaMismatch)
            #expect(try await code { _ = try await migrator.migrate(client) } == .schemaMismatch)
            #expect(try await versions(client) == [1])
        }
    }

    @Test("a history with a gap is another history")
    func gap() async throws {
        try await withEmptyDatabase { client in
            try await Migrator(migrations: [Self.first, Self.second, Self.third]).migrate(client)
            try await client.query("DELETE FROM schema_migration WHERE version = 2")
            let migrator = Migrator(migrations: [Self.first, Self.second, Self.third])
            #expect(try await code { try await migrator.check(client) } == .schemaMismatch)
            #expect(try await code { _ = try await migrator.migrate(client) } == .schemaMismatch)
        }
    }

    @Test("a migration that fails leaves nothing of itself, keeps those before it, and can be mended")
    func failure() async throws {
        try await withEmptyDatabase { client in
            let broken = Migration(version: 2, name: "two", sql: "CREATE TABLE b (n int); SELECT 1/0;")
            await #expect(throws: PostgresError.self) {
                try await Migrator(migrations: [Self.first, broken]).migrate(client)
            }
            let versions = try await versions(client)
            #expect(versions == [1])
            #expect(try await client.query("SELECT 1 WHERE to_regclass('b') IS NOT NULL").isEmpty)
            let mended = Migrator(migrations: [Self.first, Self.second])
            #expect(try await mended.migrate(client) == [Self.second], "the lock was let go")
        }
    }

    @Test("the lock is let go, whatever became of the migration")
    func lock() async throws {
        try await withEmptyDatabase { client in
            try await Migrator(migrations: [Self.first]).migrate(client)
            _ = try await code { _ = try await Migrator(migrations: []).migrate(client) }
            let locks = try await client.query(
                """
                SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                WHERE locktype = 'advisory' AND datname = current_database()
                """
            )
            #expect(locks.isEmpty)
        }
    }
}
