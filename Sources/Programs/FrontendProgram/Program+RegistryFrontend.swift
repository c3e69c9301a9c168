// SPDX-License-Identifier: Apache-2.0

import Accounts
import Blobs
import Frontend
import Jobs
import Management
import Postgres
import PullThrough
package import ServiceRuntime

extension Program {
    /// Connections of the management API: what it is asked can take long, and pulls don't wait for it.
    private static let apiConnections = 6

    /// The registry that clients pull from.
    package static let registryFrontend = Program(
        name: "registry-frontend",
        keys: FrontendSettings.keys
    ) { runtime in
        let settings = try FrontendSettings(runtime.settings)
        let (client, database) = try await runtime.openDatabase()
        let hub = ChangeHub(database, logger: runtime.logger)
        let signer = TokenSigner(client: client, logger: runtime.logger)
        let authenticator = Authenticator(client: client, signer: signer, logger: runtime.logger)
        let storage = try FileBlobStorage(root: settings.blobDirectory)
        let apiClient = client.separate(connections: apiConnections)
        let api = ManagementAPI(
            settings.management,
            client: apiClient,
            authenticator: authenticator,
            notifier: JobNotifier(client: client, logger: runtime.logger),
            hub: hub,
            space: storage.space,
            logger: runtime.logger
        )
        let frontend = try FrontendService(
            settings.frontend,
            client: client,
            storage: storage,
            hub: hub,
            authenticator: authenticator,
            signer: signer,
            other: FrontendService.OtherPaths(prefixes: ManagementAPI.prefixes, run: api.run) { request, address in
                try await api.respond(to: request, from: address)
            },
            logger: runtime.logger
        )
        try await runtime.run(
            [client, apiClient, hub, StorageReadings(of: storage, logger: runtime.logger), frontend],
            database: client,
            healthChecks: [HealthCheck("storage") { try await storage.check(isWriter: false) }],
            departureDelay: settings.departureDelay
        )
    }
}
