// SPDX-License-Identifier: Apache-2.0

package import Blobs
import Jobs
package import Logging
import Models
package import Postgres
package import PullThrough
import ServiceLifecycle
package import Upstream

/// The only service that talks to upstream registries: takes fetch jobs and does them. Any number of replicas may run.
package struct FetcherService: Service {
    package struct Configuration: Sendable {
        /// Manifests and tag checks that run at once.
        package var manifestSlots = 32
        /// Blobs that arrive at once.
        package var blobSlots = 16
        /// How long a silent fetcher keeps its jobs.
        package var lease: Duration = .seconds(5)
        /// How long running fetches may go on after a shutdown began.
        package var shutdownGrace: Duration = .seconds(5)

        package init() {}
    }

    private let processors: [JobProcessor]
    private let maintenance: JobMaintenance
    private let sweeper: PartialSweeper
    private let prober: UpstreamProber
    private let hub: ChangeHub
    private let wakeUps: [(ChangeHub.Topic, WakeUp)]

    /// - Parameter worker: names this process in job rows
    package init(
        _ configuration: Configuration,
        worker: String,
        client: PostgresClient,
        storage: any BlobStorage,
        upstream: UpstreamClient,
        governor: any UpstreamGovernor,
        hub: ChangeHub,
        logger: Logger
    ) {
        let notifier = JobNotifier(client: client, logger: logger)
        let handlers: [JobQueueName: any JobHandler] = [
            .manifests: ManifestFetchHandler(client: client, upstream: upstream, notifier: notifier, logger: logger),
            .blobs: BlobFetchHandler(
                client: client,
                storage: storage,
                upstream: upstream,
                notifier: notifier,
                logger: logger
            ),
        ]
        let slots: [JobQueueName: Int] = [.manifests: configuration.manifestSlots, .blobs: configuration.blobSlots]
        var processors: [JobProcessor] = []
        var wakeUps: [(ChangeHub.Topic, WakeUp)] = []
        for (queue, handler) in handlers {
            var processing = JobProcessor.Configuration(queue: queue, slots: slots[queue] ?? 1)
            processing.lease = configuration.lease
            processing.shutdownGrace = configuration.shutdownGrace
            let wakeUp = WakeUp()
            wakeUps.append((.queue(queue.rawValue), wakeUp))
            processors.append(
                JobProcessor(
                    processing,
                    worker: worker,
                    handlers: [handler],
                    client: client,
                    notifier: notifier,
                    wakeUp: wakeUp,
                    logger: logger
                )
            )
        }
        self.processors = processors
        self.wakeUps = wakeUps
        self.hub = hub
        maintenance = JobMaintenance(client: client, notifier: notifier, logger: logger)
        prober = UpstreamProber(client: client, upstream: upstream, governor: governor, logger: logger)
        sweeper = PartialSweeper(client: client, storage: storage, logger: logger)
    }

    package func run() async throws {
        for (topic, wakeUp) in wakeUps { hub.add(wakeUp, for: topic) }
        defer { for (topic, wakeUp) in wakeUps { hub.remove(wakeUp, for: topic) } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for processor in processors { group.addTask { try await processor.run() } }
            group.addTask { try await maintenance.run() }
            group.addTask { try await sweeper.run() }
            group.addTask { try await prober.run() }
            try await group.waitForAll()
        }
    }
}
