// SPDX-License-Identifier: Apache-2.0

package import Blobs
import Jobs
package import Logging
import Models
package import Postgres
package import PullThrough
import ServiceLifecycle
package import Upstream
import Waiting

/// The only service that talks to upstream registries: takes fetch jobs and does them. Any number of replicas may run.
package struct FetcherService: Service {
    package struct Configuration: Sendable {
        /// Manifests and tag checks that run at once.
        package var manifestSlots = 32
        /// Blobs that arrive at once.
        package var blobSlots = 16
        /// Fetches that no client waits for that run at once, beside those.
        package var fillSlots = 4
        /// Bytes of blobs that may be on their way for one organization, in all fetchers; nil for no limit.
        package var organizationBytesInFlight: Int64?
        /// How long after a manifest the rest of its image is fetched; nil for never.
        package var fillDelay: Duration? = .seconds(5)
        /// How long an image waits for others to make room, before it is stored over the limit; nil when limits aren't kept.
        package var quotaPatience: Duration? = .seconds(2)
        /// Whether upstreams are asked for anything.
        package var isProxying = true
        /// How long a silent fetcher keeps its jobs.
        package var lease: Duration = .seconds(5)
        /// How long running fetches may go on after a shutdown began.
        package var shutdownGrace: Duration = .seconds(5)

        package init() {}
    }

    private let isProxying: Bool
    private let processors: [JobProcessor]
    private let maintenance: JobMaintenance
    private let sweeper: PartialSweeper
    private let prober: UpstreamProber
    private let progress: ProgressRecorder
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
        vault: CredentialVault,
        hub: ChangeHub,
        logger: Logger
    ) {
        let notifier = JobNotifier(client: client, logger: logger)
        progress = ProgressRecorder(client: client, logger: logger)
        let manifests = ManifestFetchHandler(
            client: client,
            upstream: upstream,
            notifier: notifier,
            fill: BackgroundFill(delay: configuration.fillDelay, logger: logger),
            quotaPatience: configuration.quotaPatience,
            logger: logger
        )
        let lists = ListFetchHandler(client: client, upstream: upstream, notifier: notifier, logger: logger)
        let checks = UpstreamCheckHandler(upstream: upstream, vault: vault, notifier: notifier, logger: logger)
        let blobs = BlobFetchHandler(
            client: client,
            storage: storage,
            upstream: upstream,
            notifier: notifier,
            progress: progress,
            logger: logger
        )
        let queues: [(name: JobQueueName, slots: Int, handlers: [any JobHandler])] = [
            (.manifests, configuration.manifestSlots, [manifests, lists, checks]),
            (.blobs, configuration.blobSlots, [blobs]),
            (.fills, configuration.fillSlots, [manifests, blobs]),
        ]
        var processors: [JobProcessor] = []
        var wakeUps: [(ChangeHub.Topic, WakeUp)] = []
        for queue in queues {
            var processing = JobProcessor.Configuration(queue: queue.name, slots: queue.slots)
            processing.lease = configuration.lease
            processing.bytesInFlight = configuration.organizationBytesInFlight
            processing.shutdownGrace = configuration.shutdownGrace
            let wakeUp = WakeUp()
            wakeUps.append((.queue(queue.name.rawValue), wakeUp))
            processors.append(
                JobProcessor(
                    processing,
                    worker: worker,
                    handlers: queue.handlers,
                    client: client,
                    notifier: notifier,
                    wakeUp: wakeUp,
                    logger: logger
                )
            )
        }
        isProxying = configuration.isProxying
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
            if isProxying {
                for processor in processors { group.addTask { try await processor.run() } }
                group.addTask { try await prober.run() }
            }
            group.addTask { try await maintenance.run() }
            group.addTask { try await sweeper.run() }
            group.addTask { try await progress.run() }
            try await group.waitForAll()
        }
    }
}
