// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import Postgres
import Pruning
import PullThrough
package import ServiceRuntime

extension Program {
    /// Keeps organizations within their limits.
    package static let quotaPruner = Program(
        name: "quota-pruner",
        keys: PrunerSettings.keys
    ) { runtime in
        let settings = try PrunerSettings(runtime.settings)
        let (client, database) = try await runtime.openDatabase()
        let hub = ChangeHub(database, logger: runtime.logger)
        // The webhook is the operator's own word: it may be anywhere.
        let transport = HTTPTransport(
            HTTPTransportConfiguration(addressPolicy: .unrestricted),
            logger: runtime.logger
        )
        defer { transport.shutdown() }
        let pruning = PruningService(
            settings.pruning,
            worker: runtime.worker,
            client: client,
            transport: transport,
            hub: hub,
            logger: runtime.logger
        )
        try await runtime.run([client, hub, pruning], database: client)
    }
}
