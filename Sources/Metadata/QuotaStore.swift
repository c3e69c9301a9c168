// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// Limits that administrators set.
package struct QuotaStore: Sendable {
    package init() {}

    package func find(of organization: OrganizationID, on db: some Queryable) async throws -> Quota? {
        let rows = try await db.query(
            """
            SELECT q.id, q.limit_bytes, t.id, t.type, t.percent
            FROM quota q LEFT JOIN quota_threshold t ON t.quota_id = q.id
            WHERE q.organization_id = \(organization.rawValue) ORDER BY t.type, t.percent
            """
        ).decode((Int64, Int64, Int64?, String?, Int?).self)
        guard let (id, limit, _, _, _) = rows.first else { return nil }
        var thresholds: [QuotaThreshold] = []
        for case (_, _, let id?, let kind?, let percent?) in rows {
            thresholds.append(
                QuotaThreshold(id: QuotaThresholdID(rawValue: id), kind: try parsed(kind, "type"), percent: percent)
            )
        }
        return Quota(id: QuotaID(rawValue: id), limitBytes: limit, thresholds: thresholds)
    }

    /// - Returns: false when the organization has a quota
    package func create(limitBytes: Int64, of organization: OrganizationID, on db: some Queryable) async throws -> Bool
    {
        try await db.execute(
            """
            INSERT INTO quota (organization_id, limit_bytes) VALUES (\(organization.rawValue), \(limitBytes))
            ON CONFLICT (organization_id) DO NOTHING
            """
        ) == 1
    }

    package func setLimit(_ bytes: Int64, of quota: QuotaID, on db: some Queryable) async throws {
        try await db.query("UPDATE quota SET limit_bytes = \(bytes) WHERE id = \(quota.rawValue)")
    }

    package func delete(_ quota: QuotaID, on db: some Queryable) async throws {
        try await db.query("DELETE FROM quota WHERE id = \(quota.rawValue)")
    }

    /// - Returns: false when the quota has such a threshold
    package func addThreshold(
        _ kind: QuotaThreshold.Kind,
        percent: Int,
        to quota: QuotaID,
        on db: some Queryable
    ) async throws -> Bool {
        try await db.execute(
            """
            INSERT INTO quota_threshold (quota_id, type, percent)
            VALUES (\(quota.rawValue), \(kind.rawValue), \(percent))
            ON CONFLICT (quota_id, type, percent) DO NOTHING
            """
        ) == 1
    }

    /// - Returns: false when the quota has another such threshold
    package func changeThreshold(
        _ threshold: QuotaThresholdID,
        kind: QuotaThreshold.Kind,
        percent: Int,
        on db: some Queryable
    ) async throws -> Bool {
        try await db.execute(
            """
            UPDATE quota_threshold t SET type = \(kind.rawValue), percent = \(percent)
            WHERE id = \(threshold.rawValue) AND NOT EXISTS (
                SELECT 1 FROM quota_threshold o
                WHERE o.quota_id = t.quota_id AND o.id <> t.id AND o.type = \(kind.rawValue) AND o.percent = \(percent)
            )
            """
        ) == 1
    }

    package func deleteThreshold(_ threshold: QuotaThresholdID, on db: some Queryable) async throws {
        try await db.query("DELETE FROM quota_threshold WHERE id = \(threshold.rawValue)")
    }
}
