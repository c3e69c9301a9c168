// SPDX-License-Identifier: Apache-2.0

package import Blobs
import Jobs
package import Logging
package import Metadata
package import Postgres
import PullThrough
import ServiceLifecycle

/// Deletes what nothing refers to, once the time machine has let go, and looks after what stays.
package struct CollectionService: Service {
    package struct Configuration: Sendable {
        package var limits = CollectionStore.Limits()
        /// From the end of one run to the next.
        package var interval: Duration = .seconds(10)
        /// How often storage and rows are compared.
        package var sweepInterval: Duration = .seconds(3_600)
        /// How fast stored objects are read again; zero for never.
        package var scrubBytesPerSecond = 10_000_000
        /// How long an object that was found right is left alone.
        package var scrubInterval: Duration = .seconds(7 * 86_400)

        package init() {}
    }

    private static let scrubPoll: Duration = .seconds(10)

    private let works: [any Service]

    package init(
        _ configuration: Configuration,
        client: PostgresClient,
        storage: any BlobInventory,
        logger: Logger
    ) {
        let collector = Collector(client: client, storage: storage, limits: configuration.limits, logger: logger)
        let sweep = OrphanSweep(
            client: client,
            storage: storage,
            grace: configuration.limits.grace,
            logger: logger
        )
        let scrubber = Scrubber(
            client: client,
            storage: storage,
            bytesPerSecond: max(1, configuration.scrubBytesPerSecond),
            interval: configuration.scrubInterval,
            logger: logger
        )
        var works: [any Service] = [
            RepeatedWork("collection", every: configuration.interval, logger: logger) { try await collector.collect() },
            RepeatedWork("orphan sweep", every: configuration.sweepInterval, logger: logger) {
                try await sweep.sweep()
            },
            PartialSweeper(client: client, storage: storage, logger: logger),
            JobMaintenance(client: client, notifier: JobNotifier(client: client, logger: logger), logger: logger),
        ]
        if configuration.scrubBytesPerSecond > 0 {
            works.append(
                RepeatedWork("scrub", every: Self.scrubPoll, logger: logger) { try await scrubber.scrub() }
            )
        }
        self.works = works
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for work in works { group.addTask { try await work.run() } }
            try await group.waitForAll()
        }
    }
}
