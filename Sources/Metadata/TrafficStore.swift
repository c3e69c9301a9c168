// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// Traffic of organizations by day (UTC).
package struct TrafficStore: Sendable {
    /// One day. The date is as in `2026-07-14`.
    package struct Day: Sendable, Hashable {
        package let date: String
        package let traffic: Traffic
    }

    package init() {}

    /// Adds to today's. Organizations that are gone are left out.
    package func add(_ traffic: [OrganizationID: Traffic], on db: some Queryable) async throws {
        // In order, so that two of these never wait for each other in a circle.
        let entries = traffic.sorted { $0.key.rawValue < $1.key.rawValue }
        guard !entries.isEmpty else { return }
        func numbers(_ field: (Traffic) -> Int64) -> [Int64] { entries.map { field($0.value) } }
        try await db.query(
            """
            INSERT INTO traffic AS t (organization_id, day, hits, revalidated, misses, stale, errors, blob_pulls,
                served_bytes, upstream_requests, upstream_bytes)
            SELECT e.organization_id, (now() AT TIME ZONE 'UTC')::date, e.hits, e.revalidated, e.misses, e.stale, e.errors,
                e.blob_pulls, e.served_bytes, e.upstream_requests, e.upstream_bytes
            FROM unnest(
                \(entries.map(\.key.rawValue))::bigint[], \(numbers(\.hits))::bigint[],
                \(numbers(\.revalidated))::bigint[],
                \(numbers(\.misses))::bigint[], \(numbers(\.stale))::bigint[], \(numbers(\.errors))::bigint[],
                \(numbers(\.blobPulls))::bigint[], \(numbers(\.servedBytes))::bigint[],
                \(numbers(\.upstreamRequests))::bigint[], \(numbers(\.upstreamBytes))::bigint[]
            ) AS e (organization_id, hits, revalidated, misses, stale, errors, blob_pulls, served_bytes,
                upstream_requests, upstream_bytes)
            JOIN organization o ON o.id = e.organization_id
            ORDER BY e.organization_id
            ON CONFLICT (organization_id, day) DO UPDATE SET
                hits = t.hits + excluded.hits, revalidated = t.revalidated + excluded.revalidated,
                misses = t.misses + excluded.misses, stale = t.stale + excluded.stale,
                errors = t.errors + excluded.errors, blob_pulls = t.blob_pulls + excluded.blob_pulls,
                served_bytes = t.served_bytes + excluded.served_bytes,
                upstream_requests = t.upstream_requests + excluded.upstream_requests,
                upstream_bytes = t.upstream_bytes + excluded.upstream_bytes
            """
        )
    }

    /// The days that had any, oldest first.
    /// - Parameter days: how many, up to today
    package func days(_ days: Int, of organization: OrganizationID, on db: some Queryable) async throws -> [Day] {
        try await db.query(
            """
            SELECT to_char(day, 'YYYY-MM-DD'), hits, revalidated, misses, stale, errors, blob_pulls, served_bytes,
                upstream_requests, upstream_bytes
            FROM traffic WHERE organization_id = \(organization.rawValue)
                AND day > (now() AT TIME ZONE 'UTC')::date - \(days)::integer
            ORDER BY day
            """
        ).decode((String, Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int64).self).map { row in
            var traffic = Traffic()
            (
                _, traffic.hits, traffic.revalidated, traffic.misses, traffic.stale, traffic.errors, traffic.blobPulls,
                traffic.servedBytes, traffic.upstreamRequests, traffic.upstreamBytes
            ) = row
            return Day(date: row.0, traffic: traffic)
        }
    }
}
