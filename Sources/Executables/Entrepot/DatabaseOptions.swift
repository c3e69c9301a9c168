// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Metadata
import Models
import Postgres
import ServiceRuntime
import Supervision

/// How a command finds the database: a server's URL, or the data folder of an `entrepot up` that is running.
struct DatabaseOptions: ParsableArguments {
    @Option(help: "Connection string of the database; DB_URI in the environment otherwise.")
    var postgres: String?

    @Option(help: "Data folder of a running `entrepot up`, when neither is given. (ENTREPOT_DATA; default: .entrepot)")
    var data: String?

    /// Runs `body` with a client of the database, whose schema must be current.
    func withClient(_ runtime: ServiceRuntime, _ body: (PostgresClient) async throws -> Void) async throws {
        let named = try postgres ?? runtime.settings.secret(SharedSettings.database)
        let database = named.isEmpty ? PrivateCluster.connectionString(dataFolder: try folder(runtime)) : named
        let client = PostgresClient(
            try PostgresConfiguration(connectionString: database, applicationName: "entrepot", maximumConnections: 2)
                .checked(from: postgres == nil ? SharedSettings.database.name : "--postgres"),
            logger: runtime.logger
        )
        do {
            try await Migrator().check(client)
            try await body(client)
            await client.close()
        } catch let error as PostgresError where error.code == .connect {
            throw SupervisionError(
                named.isEmpty
                    ? "no `entrepot up` is running over \(try folder(runtime)): start it, or name a database with --postgres"
                    : "the database can't be reached: \(error.message)"
            )
        } catch let error as MetadataError {
            throw SupervisionError(error.message)
        }
    }

    private func folder(_ runtime: ServiceRuntime) throws -> String {
        try data ?? runtime.settings.string(UpSettings.data)
    }

    /// The organization of a name. Throws ``SettingsError`` when there is none.
    static func organization(_ name: String, on client: PostgresClient) async throws -> Organization {
        guard let parsed = OrganizationName(rawValue: name),
            let organization = try await OrganizationStore().find(parsed, on: client)
        else { throw SettingsError("\"\(name)\" is no organization") }
        return organization
    }
}
