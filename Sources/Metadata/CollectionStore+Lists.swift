// SPDX-License-Identifier: Apache-2.0

package import Postgres

/// Lists that nobody has asked for in a long time.
extension CollectionStore {
    /// Forgets old lists of referrers: whoever asks for one again has it from upstream. One that may still
    /// stand in for an upstream that fails stays, if what it is about is here.
    /// - Returns: how many went
    package func dropReferrerLists(_ limits: Limits, on client: PostgresClient) async throws -> Int {
        try await step(client) { transaction in
            try await transaction.execute(
                """
                WITH old AS MATERIALIZED (
                    SELECT l.repository_id, l.subject_digest
                    FROM referrer_list l JOIN repository r ON r.id = l.repository_id
                    LEFT JOIN proxy_cache_config c ON c.organization_id = r.organization_id
                    WHERE l.checked_at < now() - \(seconds: limits.referrerLists) AND (
                        c.organization_id IS NULL
                        OR l.checked_at < now() - interval '1 second'
                            * (coalesce(c.staleness_s, nullif(c.expiration_s, 0)) + c.freshness_s)
                        OR NOT EXISTS (
                            SELECT FROM manifest m JOIN repository_manifest rm ON rm.manifest_id = m.id
                            WHERE m.digest = l.subject_digest AND rm.repository_id = l.repository_id
                        )
                    )
                    ORDER BY l.checked_at LIMIT \(limits.batch) FOR UPDATE OF l SKIP LOCKED
                )
                DELETE FROM referrer_list l USING old
                WHERE l.repository_id = old.repository_id AND l.subject_digest = old.subject_digest
                """
            )
        }
    }
}
