// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Logging
import Metadata
import Postgres
import ServiceRuntime

/// Brings a database's schema to what this version needs.
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Bring the database's schema up to date.")

    @Option(help: "Connection string of the database; DB_URI in the environment otherwise.")
    var postgres: String?

    func run() async throws {
        try await Command.run(name: "migrate", keys: SharedSettings.keys + [UpSettings.adminPassword]) { runtime in
            let database = try postgres ?? runtime.settings.secret(SharedSettings.database)
            guard !database.isEmpty else {
                throw SettingsError("name the database with --postgres or \(SharedSettings.database.name)")
            }
            let configuration = try PostgresConfiguration(connectionString: database)
                .checked(from: postgres == nil ? SharedSettings.database.name : "--postgres")
            let client = PostgresClient(configuration, logger: runtime.logger)
            let applied = try await Migrator().migrate(client)
            print(applied.isEmpty ? "the schema is current" : "applied: \(applied.map(\.name).joined(separator: ", "))")
            let password = try Superuser.password(runtime.settings)
            if let made = try await Superuser.ensure(password: password, on: client) {
                print("superuser admin, password \(made) (shown this once)")
            }
            await client.close()
        }
    }
}
