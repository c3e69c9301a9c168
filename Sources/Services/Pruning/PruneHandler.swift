// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import Postgres

/// Ends least recently used tags of an organization that is over its limit. Doing it twice ends nothing more: the second
/// time the organization is within it.
struct PruneHandler: JobHandler {
    let kind = JobKind.prune
    let client: PostgresClient
    let isKeepingLimits: Bool
    let logger: Logger
    private let admission = AdmissionStore()

    init(client: PostgresClient, isKeepingLimits: Bool, logger: Logger) {
        self.client = client
        self.isKeepingLimits = isKeepingLimits
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let order = try JSONText.decode(PruneToLimit.self, job.payload)
        guard isKeepingLimits else { return .complete(result: "{}") }
        let victims = try await admission.pruneToLimit(order.organization, on: client)
        if !victims.isEmpty {
            logger.notice(
                "pruned to the limit",
                metadata: ["organization": "\(order.organization)", "ended": "\(victims.count)"]
            )
        }
        return .complete(result: "{}")
    }
}
