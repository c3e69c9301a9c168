// SPDX-License-Identifier: Apache-2.0

import Foundation
import Jobs
import Logging
import Metadata
import Models
import Notices
import Postgres

/// Tells of thresholds that usage has reached, once per crossing: in the log, and to the webhook.
struct ThresholdWatch: Sendable {
    let client: PostgresClient
    let hasWebhook: Bool
    let logger: Logger
    private let thresholds = ThresholdStore()
    private let log = LogStore()
    private let queue = JobQueue()

    init(client: PostgresClient, hasWebhook: Bool, logger: Logger) {
        self.client = client
        self.hasWebhook = hasWebhook
        self.logger = logger
    }

    /// The note that a threshold was crossed, its log entry and the notice are one transaction: told once, and not never.
    func look() async throws {
        let crossings = try await client.withTransaction { transaction in
            let crossings = try await thresholds.takeCrossings(on: transaction)
            try await log.append(crossings.map(Self.entry), on: transaction)
            guard hasWebhook else { return crossings }
            for crossing in crossings {
                _ = try await queue.enqueue(
                    ThresholdNotice(crossing, id: UUID().uuidString.lowercased()),
                    maxAttempts: NoticeHandler.maximumAttempts,
                    on: transaction
                )
            }
            return crossings
        }
        for crossing in crossings {
            logger.warning(
                "quota threshold reached",
                metadata: [
                    "organization": "\(crossing.organizationName)", "type": "\(crossing.kind.rawValue)",
                    "percent": "\(crossing.percent)", "limit": "\(crossing.limitBytes)",
                    "live": "\(crossing.liveBytes)",
                ]
            )
        }
    }

    private static func entry(_ crossing: ThresholdCrossing) -> LogEntry {
        var entry = LogEntry(
            crossing.kind == .warning ? .quotaWarning : .quotaReject,
            metadata: [
                "percent": "\(crossing.percent)", "limit_bytes": "\(crossing.limitBytes)",
                "live_bytes": "\(crossing.liveBytes)",
            ]
        )
        entry.organization = crossing.organization
        entry.organizationName = crossing.organizationName.rawValue
        return entry
    }
}
