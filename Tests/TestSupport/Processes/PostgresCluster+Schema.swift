// SPDX-License-Identifier: Apache-2.0

import Logging
import Metadata
import Postgres

extension PostgresCluster {
    /// Databases are copied from one that was migrated once: ten migrations for each test are what most tests would wait
    /// for.
    private static let migrated = Task { try await shared().migrateDatabase() }

    /// Connection string of a new database, whose migrations are applied one by one.
    package func migrateDatabase() async throws -> String {
        let database = try await makeDatabase()
        let client = PostgresClient(
            PostgresConfiguration.patient(database, maximumConnections: 1),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        do { try await Migrator().migrate(client) } catch {
            await client.close()
            throw error
        }
        await client.close()
        return database
    }

    /// Connection string of a new database with the current schema.
    package func makeMigratedDatabase() async throws -> String {
        try await makeDatabase(like: try await Self.migrated.value)
    }
}
