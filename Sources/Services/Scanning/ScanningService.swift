// SPDX-License-Identifier: Apache-2.0

import Accounts
package import Clair
package import HTTPTransport
import Jobs
package import Logging
package import Models
package import Notices
package import Postgres
package import PullThrough
import ServiceLifecycle
import Waiting

/// Hands cached images to the scanner and keeps their reports fresh. Any number of replicas may run.
package struct ScanningService: Service {
    package struct Configuration: Sendable {
        /// Under which the scanner reaches a frontend: `http://HOST:PORT`, without a slash at its end.
        package var layersURL: String
        /// What one dispatcher asks of the scanner at once.
        package var slots = 4
        package var limits = ScanRules.Limits()
        /// Between looks at a scanner that answers.
        package var watchInterval: Duration = .seconds(30)
        /// Where found vulnerabilities are posted; nil for nowhere.
        package var webhook: Webhook?
        /// The mildest that is posted.
        package var webhookSeverity = Severity.high
        /// How long a silent dispatcher keeps its jobs.
        package var lease: Duration = .seconds(5)
        /// How long running jobs may go on after a shutdown began.
        package var shutdownGrace: Duration = .seconds(5)

        package init(layersURL: String) { self.layersURL = layersURL }
    }

    private let processor: JobProcessor
    private let maintenance: JobMaintenance
    private let feeder: ScanFeeder
    private let watch: ScannerWatch
    private let signer: TokenSigner
    private let hub: ChangeHub
    private let wakeUps: [WakeUp]

    /// - Parameter worker: names this process in job rows
    package init(
        _ configuration: Configuration,
        worker: String,
        client: PostgresClient,
        clair: ClairClient,
        transport: HTTPTransport,
        hub: ChangeHub,
        logger: Logger
    ) {
        let notifier = JobNotifier(client: client, logger: logger)
        let (feeding, working) = (WakeUp(), WakeUp())
        signer = TokenSigner(client: client, logger: logger)
        watch = ScannerWatch(
            clair: clair,
            client: client,
            interval: configuration.watchInterval,
            onReturn: feeding,
            logger: logger
        )
        feeder = ScanFeeder(
            client: client,
            notifier: notifier,
            watch: watch,
            wakeUp: feeding,
            maximumLive: max(16, 4 * configuration.slots),
            logger: logger
        )
        var processing = JobProcessor.Configuration(queue: .scans, slots: configuration.slots)
        processing.lease = configuration.lease
        processing.shutdownGrace = configuration.shutdownGrace
        let handlers: [any JobHandler] = [
            ImageScanHandler(
                client: client,
                clair: clair,
                watch: watch,
                layers: LayerSource(baseURL: configuration.layersURL, signer: signer),
                limits: configuration.limits,
                notifier: notifier,
                logger: logger
            ),
            ScanDeletionHandler(client: client, clair: clair, watch: watch, logger: logger),
            ScanNotificationHandler(
                client: client,
                clair: clair,
                watch: watch,
                posting: configuration.webhook == nil ? nil : configuration.webhookSeverity,
                notifier: notifier,
                logger: logger
            ),
            NoticeHandler(.vulnerabilityNotice, to: configuration.webhook, transport: transport, logger: logger) {
                job in
                NoticeHandler.Notice(id: "\(job.lease.job)", text: job.payload)
            },
        ]
        processor = JobProcessor(
            processing,
            worker: worker,
            handlers: handlers,
            client: client,
            notifier: notifier,
            wakeUp: working,
            logger: logger
        )
        maintenance = JobMaintenance(client: client, notifier: notifier, logger: logger)
        self.hub = hub
        wakeUps = [feeding, working]
    }

    package func run() async throws {
        let topic = ChangeHub.Topic.queue(JobQueueName.scans.rawValue)
        for wakeUp in wakeUps { hub.add(wakeUp, for: topic) }
        defer { for wakeUp in wakeUps { hub.remove(wakeUp, for: topic) } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            let services: [any Service] = [processor, maintenance, feeder, watch]
            for service in services { group.addTask { try await service.run() } }
            group.addTask { try await cancelWhenGracefulShutdown { try await signer.run() } }
            try await group.waitForAll()
        }
    }
}
