// SPDX-License-Identifier: Apache-2.0

package import Models
import OCI
package import Postgres

/// Thresholds of quotas against usage.
package struct ThresholdStore: Sendable {
    package init() {}

    /// Notes which thresholds usage has reached since the last look, and arms those that it is below again. Each crossing
    /// is told once, to whoever looks first.
    package func takeCrossings(on transaction: some Queryable) async throws -> [ThresholdCrossing] {
        try await transaction.query(
            """
            WITH judged AS MATERIALIZED (
                SELECT t.id, o.id AS organization_id, o.name, q.limit_bytes, u.used_bytes + u.reserved_bytes AS live_bytes,
                    -- rounded up, as QuotaThreshold does
                    u.used_bytes + u.reserved_bytes >= q.limit_bytes / 100 * t.percent
                        + (q.limit_bytes % 100 * t.percent + 99) / 100 AS is_reached
                FROM quota_threshold t
                JOIN quota q ON q.id = t.quota_id
                JOIN organization o ON o.id = q.organization_id
                JOIN organization_usage u ON u.organization_id = o.id
                FOR UPDATE OF t SKIP LOCKED
            )
            UPDATE quota_threshold t SET crossed_at = CASE WHEN j.is_reached THEN now() END
            FROM judged j WHERE t.id = j.id AND j.is_reached <> (t.crossed_at IS NOT NULL)
            RETURNING j.is_reached, j.organization_id, j.name, t.type, t.percent, j.limit_bytes, j.live_bytes
            """
        ).decode((Bool, Int64, String, String, Int, Int64, Int64).self).compactMap { row in
            let (isReached, organization, name, kind, percent, limit, live) = row
            guard isReached else { return nil }
            return ThresholdCrossing(
                organization: OrganizationID(rawValue: organization),
                organizationName: try parsed(name, "name"),
                kind: try parsed(kind, "type"),
                percent: percent,
                limitBytes: limit,
                liveBytes: live
            )
        }
    }

    /// Organizations whose counts were proved an interval ago or earlier, which is now this caller's to do.
    package func takeUnproved(since interval: Duration, on db: some Queryable) async throws -> [OrganizationID] {
        try await db.query(
            """
            UPDATE organization_usage SET proved_at = now() WHERE organization_id IN (
                SELECT organization_id FROM organization_usage WHERE proved_at < now() - \(seconds: interval)
                FOR UPDATE SKIP LOCKED
            ) RETURNING organization_id
            """
        ).decode(Int64.self).map(OrganizationID.init(rawValue:))
    }
}
