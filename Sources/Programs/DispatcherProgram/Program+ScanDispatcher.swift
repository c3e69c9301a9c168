// SPDX-License-Identifier: Apache-2.0

import Clair
import HTTPTransport
import Postgres
import PullThrough
import Scanning
package import ServiceRuntime

extension Program {
    /// Hands cached images to the vulnerability scanner.
    package static let scanDispatcher = Program(
        name: "scan-dispatcher",
        keys: ScanDispatcherSettings.keys
    ) { runtime in
        let settings = try ScanDispatcherSettings(runtime.settings)
        let (client, database) = try await runtime.openDatabase()
        let hub = ChangeHub(database, logger: runtime.logger)
        // Both addresses are the operator's own, and usually private.
        let transport = HTTPTransport(
            HTTPTransportConfiguration(addressPolicy: .unrestricted),
            logger: runtime.logger
        )
        defer { transport.shutdown() }
        let scanning = ScanningService(
            settings.scanning,
            worker: runtime.worker,
            client: client,
            clair: ClairClient(settings.clair, transport: transport, key: settings.key),
            transport: transport,
            hub: hub,
            logger: runtime.logger
        )
        try await runtime.run([client, hub, scanning], database: client)
    }
}
