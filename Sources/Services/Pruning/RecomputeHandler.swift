// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import Postgres

/// Proves what was counted of an organization. Doing it twice finds nothing the second time.
struct RecomputeHandler: JobHandler {
    let kind = JobKind.recompute
    /// One whose statements may take as long as counting a large organization does.
    let client: PostgresClient
    let logger: Logger
    private let usage = UsageStore()

    init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let order = try JSONText.decode(RecomputeUsage.self, job.payload)
        if let drift = try await usage.recompute(order.organization, on: client) {
            // Counts are kept by the transactions that change them: that these differ is a bug, or somebody's hand.
            logger.error(
                "usage was counted wrongly, and is right again",
                metadata: [
                    "organization": "\(order.organization)", "live.before": "\(drift.before.liveBytes)",
                    "live.after": "\(drift.after.liveBytes)", "memberships": "\(drift.memberships)",
                    "contents": "\(drift.contents)", "sums": "\(drift.sums)",
                ]
            )
        }
        return .complete(result: "{}")
    }
}
