// SPDX-License-Identifier: Apache-2.0

import Blobs
import Fetcher
import HTTPTransport
import Postgres
import PullThrough
package import ServiceRuntime
import Upstream

extension Program {
    /// The only process that talks to upstream registries.
    package static let upstreamFetcher = Program(
        name: "upstream-fetcher",
        keys: FetcherSettings.keys
    ) { runtime in
        let settings = try FetcherSettings(runtime.settings)
        let (client, database) = try await runtime.openDatabase()
        let hub = ChangeHub(database, logger: runtime.logger)
        let transports = (0...settings.blobThreads).map { _ in
            HTTPTransport(settings.transport, logger: runtime.logger)
        }
        defer { for transport in transports { transport.shutdown() } }
        let governor = SharedGovernor(client: client, hub: hub, logger: runtime.logger)
        let vault = CredentialVault(keys: settings.privateKeys, client: client, logger: runtime.logger)
        let traffic = TrafficCounter(client: client, logger: runtime.logger)
        let storage = try FileBlobStorage(root: settings.blobDirectory)
        let fetcher = FetcherService(
            settings.fetcher,
            worker: runtime.worker,
            client: client,
            storage: storage,
            upstream: UpstreamClient(
                api: transports[0],
                blobTransports: Array(transports.dropFirst()),
                governor: governor,
                credentials: vault,
                meter: traffic,
                deadlines: settings.deadlines
            ),
            governor: governor,
            vault: vault,
            hub: hub,
            logger: runtime.logger
        )
        try await runtime.run(
            [client, hub, traffic, vault, StorageReadings(of: storage, logger: runtime.logger), fetcher],
            database: client,
            healthChecks: [HealthCheck("storage") { try await storage.check(isWriter: true) }]
        )
    }
}
