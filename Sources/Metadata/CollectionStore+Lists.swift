// SPDX-License-Identifier: Apache-2.0

package import Postgres

/// Lists that nobody has asked for in a long time.
extension CollectionStore {
    /// Forgets old lists of referrers: whoever asks for one again has it from upstream.
    /// - Returns: how many went
    package func dropReferrerLists(_ limits: Limits, on client: PostgresClient) async throws -> Int {
        try await step(client) { transaction in
            try await transaction.execute(
                """
                WITH old AS MATERIALIZED (
                    SELECT repository_id, subject_digest FROM referrer_list
                    WHERE checked_at < now() - \(seconds: limits.referrerLists)
                    ORDER BY checked_at LIMIT \(limits.batch) FOR UPDATE SKIP LOCKED
                )
                DELETE FROM referrer_list l USING old
                WHERE l.repository_id = old.repository_id AND l.subject_digest = old.subject_digest
                """
            )
        }
    }
}
