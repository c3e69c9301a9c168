// SPDX-License-Identifier: Apache-2.0

import Clair
import Foundation
import Jobs
import Logging
import Metadata
import Models
import Notices
import OCI
import Postgres

/// Works through what the scanner has to tell, page by page: what follows from a page is written in one transaction with
/// the place of the next one, so that whoever takes over goes on there.
struct ScanNotificationHandler: JobHandler {
    private static let finishingTries = 3
    private static let retry = RetryPolicy(base: .milliseconds(200), cap: .seconds(2))

    let kind = JobKind.scanNotification
    let client: PostgresClient
    let clair: ClairClient
    let watch: ScannerWatch
    /// Findings that are this bad are posted; nil posts none.
    let posting: Severity?
    let notifier: JobNotifier
    let logger: Logger
    private let queue = JobQueue()
    private let scans = ScanStore()
    private let notifications = ScanNotificationStore()
    private let log = LogStore()

    init(
        client: PostgresClient,
        clair: ClairClient,
        watch: ScannerWatch,
        posting: Severity?,
        notifier: JobNotifier,
        logger: Logger
    ) {
        self.client = client
        self.clair = clair
        self.watch = watch
        self.posting = posting
        self.notifier = notifier
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let key = try JSONText.decode(String.self, job.payload)
        guard let id = UUID(uuidString: key) else {
            return .discard(reason: "\(key) is no notification", result: JSONText.encode("discarded"))
        }
        do {
            while let progress = try await notifications.progress(of: id, on: client) {
                guard let page = try await clair.notification(id, page: progress.nextPage) else {
                    logger.warning("scanner knows nothing of what it told us of", metadata: ["notification": "\(id)"])
                    try await notifications.finish(id, on: client)
                    break
                }
                try await work(page, of: id, from: progress, job)
                await notifier.jobsAvailable(.scans)
            }
        } catch let failure as ScanFailure {
            logger.warning("notification not read", metadata: ["notification": "\(id)", "reason": "\(failure)"])
            if case .unreachable = failure { watch.suspect() }
            try await client.withTransaction { transaction in
                try await queue.complete(job.lease, result: JSONText.encode("postponed"), on: transaction)
                try await notifications.postpone(
                    id,
                    by: ScanRules.delay(1, .random(in: 0...1)) / 3,
                    on: transaction
                )
            }
            return .finished
        }
        try await tellFinished(id)
        return .complete(result: JSONText.encode("read"))
    }

    private func work(
        _ page: NotificationPage,
        of id: UUID,
        from progress: ScanNotificationStore.Progress,
        _ job: ClaimedJob
    ) async throws {
        let digests = Array(Set(page.items.map(\.manifest)))
        let places = Dictionary(
            grouping: try await notifications.places(of: digests, on: client),
            by: \.digest
        )
        var entries: [LogEntry] = []
        var notices: [VulnerabilityNotice] = []
        for item in page.items where item.reason != "removed" {
            for place in places[item.manifest] ?? [] {
                let notice = VulnerabilityNotice(
                    place: (place.organizationName, place.repository, place.tags),
                    item
                )
                entries.append(Self.entry(notice, place))
                if let posting, item.finding.severity >= posting { notices.append(notice) }
            }
        }
        let isDone = try await client.withTransaction { [entries, notices] transaction in
            try await queue.fence(job.lease, on: transaction)
            guard try await notifications.advance(id, from: progress, to: page.next, on: transaction) else {
                return false
            }
            try await scans.refresh(digests, on: transaction)
            try await log.append(entries, on: transaction)
            try await queue.enqueueChores(
                .vulnerabilityNotice,
                // Long texts are no keys; what is the same needs no second post.
                keys: notices.map { "\(id)/\(Digest.of(Array(JSONText.encode($0).utf8)))" },
                payloads: notices.map { JSONText.encode($0) },
                queue: .scans,
                maxAttempts: NoticeHandler.maximumAttempts,
                on: transaction
            )
            return true
        }
        guard isDone else { return }
        logger.info(
            "vulnerabilities were told of",
            metadata: [
                "notification": "\(id)", "page": "\(progress.pages + 1)", "items": "\(page.items.count)",
                "places": "\(entries.count)",
            ]
        )
    }

    private static func entry(_ notice: VulnerabilityNotice, _ place: ScanNotificationStore.Place) -> LogEntry {
        var entry = LogEntry(.vulnerabilityFound, repository: place.repository, metadata: notice.facts)
        entry.organization = place.organization
        entry.organizationName = place.organizationName
        return entry
    }

    /// A courtesy, which lets the scanner clean up earlier.
    private func tellFinished(_ id: UUID) async throws {
        for attempt in 1...Self.finishingTries {
            do { return try await clair.finish(notification: id) } catch let failure as ScanFailure {
                logger.debug("scanner not told", metadata: ["notification": "\(id)", "reason": "\(failure)"])
                try await Task.sleep(for: Self.retry.delay(afterFailures: attempt))
            }
        }
    }
}
