// SPDX-License-Identifier: Apache-2.0

import Foundation
import Jobs
import Logging
import Metadata
import Models
import Postgres
import ServiceLifecycle
import Synchronization
import Waiting

/// Makes jobs of what is to be done, a few at a time and only while the scanner can be reached: what waits for it waits in
/// rows of its own, so that the job table stays small however long the scanner is away. Any number may run.
final class ScanFeeder: Service {
    private static let pollInterval: Duration = .seconds(1)
    private static let sweepInterval: Duration = .seconds(30)
    /// Manifests that one sweep looks at; the next one goes on behind them.
    private static let sweptTogether = 20_000
    /// After so long a job that was lost without a word is made anew. Longer than any job takes.
    private static let pause: Duration = .seconds(3_600)
    /// What is told twice is known for so long.
    private static let notificationAge: Duration = .seconds(7 * 86_400)
    private static let kinds: [JobKind] = [.imageScan, .scanDeletion, .scanNotification]

    private let client: PostgresClient
    private let notifier: JobNotifier
    private let watch: ScannerWatch
    private let wakeUp: WakeUp
    /// Jobs that may be alive at once.
    private let maximumLive: Int
    private let logger: Logger
    private let queue = JobQueue()
    private let scans = ScanStore()
    private let notifications = ScanNotificationStore()
    private let lastSwept = Mutex<ManifestID?>(nil)

    init(
        client: PostgresClient,
        notifier: JobNotifier,
        watch: ScannerWatch,
        wakeUp: WakeUp,
        maximumLive: Int,
        logger: Logger
    ) {
        self.client = client
        self.notifier = notifier
        self.watch = watch
        self.wakeUp = wakeUp
        self.maximumLive = maximumLive
        self.logger = logger
    }

    func run() async throws {
        // Beside it: what can't be swept keeps nothing from being scanned.
        async let sweeps: Void = RepeatedWork("sweeping scans", every: Self.sweepInterval, logger: logger) { [self] in
            try await sweep()
        }.run()
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                do {
                    if watch.indexState != nil { try await feed() }
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("scans can't be queued", metadata: ["error": "\(error)"])
                }
                await wakeUp.wait(atMost: Self.pollInterval)
            }
        }
        try await sweeps
    }

    private func feed() async throws {
        let count = try await client.withTransaction { transaction in
            let room = maximumLive - (try await queue.liveCount(of: Self.kinds, on: transaction))
            guard room > 0 else { return 0 }
            // What is told comes before what is asked: it is little, and makes images due.
            let told = try await notifications.takeDue(limit: room, pause: Self.pause, on: transaction)
            var count = try await queue.enqueueChores(
                .scanNotification,
                keys: told.map { $0.uuidString.lowercased() },
                queue: .scans,
                priority: JobPriority.client,
                on: transaction
            )
            let images = try await scans.takeDue(limit: room, pause: Self.pause, on: transaction)
            count += try await queue.enqueueChores(
                .imageScan,
                keys: images.map(\.description),
                queue: .scans,
                on: transaction
            )
            let deleted = try await scans.takeDueDeletions(limit: room, pause: Self.pause, on: transaction)
            count += try await queue.enqueueChores(
                .scanDeletion,
                keys: deleted,
                queue: .scans,
                priority: JobPriority.fill,
                on: transaction
            )
            return count
        }
        if count > 0 { await notifier.jobsAvailable(.scans) }
    }

    private func sweep() async throws {
        let (queued, last) = try await scans.queueForgotten(
            after: lastSwept.withLock { $0 },
            lookingAt: Self.sweptTogether,
            on: client
        )
        lastSwept.withLock { $0 = last }
        if queued > 0 {
            logger.notice("complete images queued that nobody had queued", metadata: ["images": "\(queued)"])
        }
        try await notifications.clean(olderThan: Self.notificationAge, on: client)
    }
}
