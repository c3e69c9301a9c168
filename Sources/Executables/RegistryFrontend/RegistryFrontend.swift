// SPDX-License-Identifier: Apache-2.0

import Accounts
import Blobs
import Frontend
import Jobs
import Management
import Postgres
import PullThrough
import ServiceRuntime

/// The registry that clients pull from.
@main
struct RegistryFrontend {
    static func main() async {
        await ServiceRuntime.main(name: "registry-frontend", keys: FrontendSettings.keys) { runtime in
            let settings = try FrontendSettings(runtime.settings)
            let postgres = PostgresConfiguration(
                connectionString: settings.database,
                applicationName: "registry-frontend",
                maximumConnections: settings.databaseConnections
            )
            let client = PostgresClient(postgres, logger: runtime.logger)
            try await runtime.waitForSchema(client)
            let hub = ChangeHub(postgres, logger: runtime.logger)
            let authenticator = Authenticator(client: client, logger: runtime.logger)
            let api = ManagementAPI(
                client: client,
                authenticator: authenticator,
                notifier: JobNotifier(client: client, logger: runtime.logger),
                logger: runtime.logger
            )
            let frontend = FrontendService(
                settings.frontend,
                client: client,
                storage: try FileBlobStorage(root: settings.blobDirectory),
                hub: hub,
                authenticator: authenticator,
                other: FrontendService.OtherPaths(prefix: ManagementAPI.prefix) { request, channel in
                    try await api.respond(to: request, on: channel)
                },
                logger: runtime.logger
            )
            try await runtime.run([client, hub, frontend], healthChecks: [.database(client)])
        }
    }
}
