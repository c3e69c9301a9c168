// SPDX-License-Identifier: Apache-2.0

import Blobs
import Collection
import Metadata
import Models
import Postgres
package import ServiceRuntime

extension Program {
    private static let dryRun = "--dry-run"

    /// Deletes what nothing refers to any more. With `--dry-run` it only says what would go.
    package static let garbageCollector = Program(
        name: "garbage-collector",
        keys: CollectorSettings.keys,
        switches: [dryRun]
    ) { runtime in
        let settings = try CollectorSettings(runtime.settings)
        let (client, _) = try await runtime.openDatabase()
        let storage = try FileBlobStorage(root: settings.blobDirectory)
        guard !runtime.switches.contains(dryRun) else {
            try await tell(settings, client, storage, runtime)
            return await client.close()
        }
        let collection = CollectionService(
            settings.collection,
            client: client,
            storage: storage,
            logger: runtime.logger
        )
        try await runtime.run(
            [client, StorageReadings(of: storage, logger: runtime.logger), collection],
            database: client,
            healthChecks: [HealthCheck("storage") { try await storage.check(isWriter: true) }]
        )
    }

    private static func tell(
        _ settings: CollectorSettings,
        _ client: PostgresClient,
        _ storage: FileBlobStorage,
        _ runtime: ServiceRuntime
    ) async throws {
        let limits = settings.collection.limits
        for count in try await CollectionStore().pending(limits, on: client) {
            print("\(count.kind.rawValue)\t\(count.items)\t\(count.bytes) bytes")
        }
        let sweep = OrphanSweep(client: client, storage: storage, grace: limits.grace, logger: runtime.logger)
        var (orphans, bytes, lost, unreadable): (Int, Int64, Int, Int) = (0, 0, 0, 0)
        for part in storage.parts {
            let found = try await sweep.look(at: part)
            orphans += found.orphans.count
            bytes += found.orphans.reduce(0) { $0 + $1.sizeBytes }
            lost += found.lost.count
            unreadable += found.failures.count
        }
        print("orphans\t\(orphans)\t\(bytes) bytes")
        print("lost\t\(lost)\t0 bytes")
        if unreadable > 0 { print("unreadable\t\(unreadable)\t0 bytes") }
    }
}
