// SPDX-License-Identifier: Apache-2.0

package import Logging
import Models
package import Postgres
import ServiceLifecycle

/// Rescues jobs of workers that fell silent and removes finished ones. Any number may run; each row goes to one.
package struct JobMaintenance: Service {
    package var interval: Duration = .seconds(1)
    /// Those who wait read the result within seconds.
    package var completedAge: Duration = .seconds(60)
    package var discardedAge: Duration = .seconds(86_400)

    private let client: PostgresClient
    private let notifier: JobNotifier
    private let logger: Logger
    private let queue = JobQueue()
    private let metrics = JobMetrics()

    package init(client: PostgresClient, notifier: JobNotifier, logger: Logger) {
        self.client = client
        self.notifier = notifier
        self.logger = logger
    }

    package func run() async throws {
        try await RepeatedWork("job maintenance", every: interval, logger: logger) { try await runOnce() }.run()
    }

    package func runOnce() async throws {
        let rescued = try await queue.rescue(
            lapsedResult: JobProcessor.failure("the workers that took this up fell silent"),
            on: client
        )
        if !rescued.isEmpty {
            metrics.rescued(rescued.count)
            logger.warning("jobs rescued", metadata: ["jobs": "\(rescued.map(\.id.rawValue))"])
            await notifier.notify(.jobs, rescued.filter { !$0.isDiscarded }.map(\.queue))
            await notifier.jobsFinished(rescued.filter(\.isDiscarded).map(\.id))
        }
        _ = try await queue.clean(
            completedOlderThan: completedAge,
            discardedOlderThan: discardedAge,
            limit: 1_000,
            on: client
        )
    }
}
