// SPDX-License-Identifier: Apache-2.0

package import HTTPTransport
import Jobs
package import Logging
import Metadata
import Models
package import Notices
package import Postgres
package import PullThrough
import ServiceLifecycle
import Waiting

/// Keeps organizations within their limits, ends what has expired, proves what was counted, and tells of thresholds. Any
/// number may run.
package struct PruningService: Service {
    package struct Configuration: Sendable {
        /// How often expired tags are looked for.
        package var expiryInterval: Duration = .seconds(2)
        /// How often usage is compared with limits and thresholds.
        package var limitInterval: Duration = .seconds(2)
        /// How often what was counted of an organization is proved.
        package var proofInterval: Duration = .seconds(6 * 3_600)
        /// Whether limits are kept.
        package var isKeepingLimits = true
        /// Jobs that run at once.
        package var slots = 4
        package var lease: Duration = .seconds(30)
        package var shutdownGrace: Duration = .seconds(5)
        /// Who is told of thresholds; nil for nobody but the log.
        package var webhook: Webhook?

        package init() {}
    }

    /// Tags and holds of one organization that are ended in one transaction.
    private static let expiryBatch = 20
    /// Tags and holds that are found in one look.
    private static let expiryLook = 10_000
    /// A look reads all tags: where there are so many that it takes long, there are fewer of them, a twentieth of the time.
    private static let lookShare = 20
    /// How often organizations that are due for a proof are looked for.
    private static let proofPoll: Duration = .seconds(5)
    /// How long it may take to count an organization anew. What it compares first is a snapshot, for which nobody waits.
    private static let proofPatience: Duration = .seconds(600)

    private let processor: JobProcessor
    private let maintenance: JobMaintenance
    private let works: [RepeatedWork]
    private let proofClient: PostgresClient
    private let hub: ChangeHub
    private let wakeUp = WakeUp()

    /// - Parameter worker: names this process in job rows
    package init(
        _ configuration: Configuration,
        worker: String,
        client: PostgresClient,
        transport: HTTPTransport,
        hub: ChangeHub,
        logger: Logger
    ) {
        let notifier = JobNotifier(client: client, logger: logger)
        var processing = JobProcessor.Configuration(queue: .quota, slots: configuration.slots)
        processing.lease = configuration.lease
        processing.shutdownGrace = configuration.shutdownGrace
        proofClient = client.separate(connections: 1, patience: Self.proofPatience)
        processor = JobProcessor(
            processing,
            worker: worker,
            handlers: [
                PruneHandler(client: client, isKeepingLimits: configuration.isKeepingLimits, logger: logger),
                RecomputeHandler(client: proofClient, logger: logger),
                NoticeHandler(.thresholdNotice, to: configuration.webhook, transport: transport, logger: logger) {
                    job in
                    let notice = try JSONText.decode(ThresholdNotice.self, job.payload)
                    return NoticeHandler.Notice(id: notice.id, text: notice.text)
                },
            ],
            client: client,
            notifier: notifier,
            wakeUp: wakeUp,
            logger: logger
        )
        maintenance = JobMaintenance(client: client, notifier: notifier, logger: logger)
        let lifetimes = LifetimeStore()
        let queue = JobQueue()
        let thresholds = ThresholdWatch(client: client, hasWebhook: configuration.webhook != nil, logger: logger)
        works = [
            RepeatedWork("expiry", every: configuration.expiryInterval, logger: logger) {
                while true {
                    let start = ContinuousClock.now
                    let overdue = try await lifetimes.overdue(limit: Self.expiryLook, on: client)
                    guard !overdue.isEmpty else {
                        return try await Task.sleep(for: (.now - start) * Self.lookShare)
                    }
                    for organization in overdue {
                        let ended = try await lifetimes.end(organization, together: Self.expiryBatch, on: client)
                        logger.info("lifetimes expired", metadata: ["count": "\(ended)"])
                    }
                }
            },
            RepeatedWork("comparing usage with limits", every: configuration.limitInterval, logger: logger) {
                guard configuration.isKeepingLimits else { return }
                for organization in try await PruneStore().overLimit(on: client) {
                    _ = try await queue.enqueue(PruneToLimit(organization: organization), on: client)
                }
                await notifier.jobsAvailable(.quota)
            },
            RepeatedWork("watching thresholds", every: configuration.limitInterval, logger: logger) {
                try await thresholds.look()
                await notifier.jobsAvailable(.quota)
            },
            RepeatedWork("ordering proofs", every: Self.proofPoll, logger: logger) {
                let due = try await ThresholdStore().takeUnproved(since: configuration.proofInterval, on: client)
                for organization in due {
                    _ = try await queue.enqueue(RecomputeUsage(organization: organization), on: client)
                }
            },
        ]
        self.hub = hub
    }

    package func run() async throws {
        hub.add(wakeUp, for: .queue(PruneToLimit.queue.rawValue))
        defer { hub.remove(wakeUp, for: .queue(PruneToLimit.queue.rawValue)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await processor.run()
                await proofClient.close()
            }
            group.addTask { try await maintenance.run() }
            for work in works { group.addTask { try await work.run() } }
            try await group.waitForAll()
        }
    }
}
