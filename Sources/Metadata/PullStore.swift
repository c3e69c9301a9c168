// SPDX-License-Identifier: Apache-2.0

package import Models
import OCI
package import Postgres

/// What pulls leave behind: last use, and the renewed expiration of tags.
package struct PullStore: Sendable {
    /// Arbitrary: batches that touch the same rows in another order would wait for each other in a circle.
    private static let advisoryLock: Int64 = 0x656E_7472_746F_7563
    /// Rows are taken without their organizations' locks, in an order that those who hold them don't keep to. In a circle of
    /// waiters it is this one that gives up, before the server looks for somebody to end (`deadlock_timeout`, 1 s).
    private static let lockTimeout = "200ms"

    /// Of a row `c` of `proxy_cache_config`, which may be missing: until when a pull by digest of now holds a manifest.
    static let holdEnd = "coalesce(now() + nullif(c.expiration_s, 0) * interval '1 second', 'infinity'::timestamptz)"

    private let usage = UsageStore()

    package init() {}

    /// Marks manifests as used: themselves, the indexes that list them, and the children that they list, as far as the
    /// same repository has them. A pull by tag renews that tag; one by digest the tags of the manifest and of the indexes
    /// that list it. What nothing else keeps alive is held by its pulls by digest.
    ///
    /// Throws ``PostgresError`` `lockNotAvailable` when somebody changes the same rows for long: nothing is written down then.
    /// - Parameter touches: with when each was. What is written down together wasn't pulled at one time, and what was pulled
    ///   least recently is pruned first.
    package func touch(_ touches: [PullTouch: ContinuousClock.Instant], on client: PostgresClient) async throws {
        guard !touches.isEmpty else { return }
        try await client.withTransaction { transaction in
            try await transaction.query("SELECT pg_advisory_xact_lock(\(Self.advisoryLock))")
            try await hold(touches.keys.filter { $0.tag == nil && $0.isRenewing }, on: transaction)
            try await transaction.query("SET LOCAL lock_timeout = \(unescaped: "'\(Self.lockTimeout)'")")
            // Ages of now: what was waited for until here would make pulls later than they were.
            let now = ContinuousClock.now
            try await touch(touches.mapValues { now - $0 }, on: transaction)
        }
    }

    /// Renews holds, and brings back to life what isn't alive any more: its organization's lock is needed for that.
    private func hold(_ touches: [PullTouch], on transaction: some Queryable) async throws {
        guard !touches.isEmpty else { return }
        let (repositories, manifests) = (touches.map(\.repository.rawValue), touches.map(\.manifest.rawValue))
        let owners = try await transaction.query(
            """
            SELECT DISTINCT r.organization_id
            FROM unnest(\(repositories)::bigint[], \(manifests)::bigint[]) AS p (repository_id, manifest_id)
            JOIN repository_manifest rm USING (repository_id, manifest_id)
            JOIN repository r ON r.id = rm.repository_id
            WHERE NOT rm.is_bypassed AND (rm.released_at IS NOT NULL OR rm.held_until IS NOT NULL)
            """
        ).decode(Int64.self)
        guard !owners.isEmpty else { return }
        try await usage.lock(owners.map(OrganizationID.init(rawValue:)), on: transaction)
        try await transaction.query(
            """
            UPDATE repository_manifest rm SET held_until = \(unescaped: Self.holdEnd)
            FROM unnest(\(repositories)::bigint[], \(manifests)::bigint[]) AS p (repository_id, manifest_id)
            JOIN repository r ON r.id = p.repository_id
            LEFT JOIN proxy_cache_config c ON c.organization_id = r.organization_id
            WHERE rm.repository_id = p.repository_id AND rm.manifest_id = p.manifest_id
                AND r.organization_id = ANY(\(owners)::bigint[])
                AND NOT rm.is_bypassed AND (rm.released_at IS NOT NULL OR rm.held_until IS NOT NULL)
            """
        )
    }

    private func touch(_ ages: [PullTouch: Duration], on db: some Queryable) async throws {
        let touches = Array(ages.keys)
        let milliseconds = touches.map { Int64((ages[$0] ?? .zero) / .milliseconds(1)) }
        try await db.query(
            prepared: """
                WITH pulled AS (
                    SELECT repository_id, manifest_id, nullif(tag, '') AS tag, is_renewing,
                        clock_timestamp() - age_ms * interval '1 millisecond' AS at
                    FROM unnest(
                        \(touches.map(\.repository.rawValue))::bigint[], \(touches.map(\.manifest.rawValue))::bigint[],
                        \(touches.map { $0.tag?.rawValue ?? "" })::text[], \(touches.map(\.isRenewing))::boolean[],
                        \(milliseconds)::bigint[]
                    ) AS p (repository_id, manifest_id, tag, is_renewing, age_ms)
                ), parents AS (
                    SELECT p.repository_id, c.parent_id AS manifest_id, p.tag, p.is_renewing, p.at
                    FROM pulled p
                    JOIN manifest m ON m.id = p.manifest_id
                    JOIN manifest_child c ON c.digest = m.digest
                ), children AS (
                    SELECT p.repository_id, m.id AS manifest_id, p.at
                    FROM pulled p
                    JOIN manifest_child c ON c.parent_id = p.manifest_id
                    JOIN manifest m ON m.digest = c.digest
                ), family AS (
                    SELECT repository_id, manifest_id, max(at) AS at FROM (
                        SELECT repository_id, manifest_id, at FROM pulled
                        UNION ALL SELECT repository_id, manifest_id, at FROM parents
                        UNION ALL SELECT repository_id, manifest_id, at FROM children
                    ) member GROUP BY repository_id, manifest_id
                ), used AS (
                    UPDATE repository_manifest rm SET last_pulled_at = greatest(rm.last_pulled_at, f.at) FROM family f
                    WHERE rm.repository_id = f.repository_id AND rm.manifest_id = f.manifest_id
                ), named AS (
                    SELECT t.id, bool_or(p.is_renewing) AS is_renewing, max(p.at) AS at
                    FROM (SELECT * FROM pulled UNION ALL SELECT * FROM parents WHERE tag IS NULL) p
                    JOIN tag t ON t.repository_id = p.repository_id AND t.manifest_id = p.manifest_id
                        AND (p.tag IS NULL OR t.name = p.tag)
                    WHERE t.lifetime_end_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
                    GROUP BY t.id
                )
                UPDATE tag t
                SET last_pulled_at = greatest(t.last_pulled_at, n.at),
                    expires_at = CASE WHEN n.is_renewing
                        THEN now() + nullif(c.expiration_s, 0) * interval '1 second' ELSE t.expires_at END
                FROM named n, repository r LEFT JOIN proxy_cache_config c ON c.organization_id = r.organization_id
                WHERE t.id = n.id AND r.id = t.repository_id
                """
        )
    }
}
