// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import Postgres
import Synchronization

/// Ends least recently used tags of an organization that is over its limit. Doing it twice ends nothing more: the second
/// time the organization is within it.
final class PruneHandler: JobHandler {
    let kind = JobKind.prune
    let client: PostgresClient
    let isKeepingLimits: Bool
    let logger: Logger
    private let admission = AdmissionStore()
    private let clock = ContinuousClock()
    /// Before when an organization isn't looked at again: where everything is pinned, say, and there is much of it, each look
    /// takes long, and stores wait for it.
    private let restingUntil = Mutex<[OrganizationID: ContinuousClock.Instant]>([:])
    /// Looks in vain take a twentieth of the time, unless they take minutes.
    private static let vainShare = 20
    private static let longestRest: Duration = .seconds(300)

    init(client: PostgresClient, isKeepingLimits: Bool, logger: Logger) {
        self.client = client
        self.isKeepingLimits = isKeepingLimits
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let order = try JSONText.decode(PruneToLimit.self, job.payload)
        let start = clock.now
        let isResting = restingUntil.withLock { $0[order.organization].map { start < $0 } ?? false }
        guard isKeepingLimits, !isResting else { return .complete(result: "{}") }
        let victims = try await admission.pruneToLimit(order.organization, on: client)
        let rest = victims.isEmpty ? min(Self.longestRest, (clock.now - start) * Self.vainShare) : nil
        restingUntil.withLock { $0[order.organization] = rest.map { clock.now + $0 } }
        if !victims.isEmpty {
            logger.notice(
                "pruned to the limit",
                metadata: ["organization": "\(order.organization)", "ended": "\(victims.count)"]
            )
        }
        return .complete(result: "{}")
    }
}
