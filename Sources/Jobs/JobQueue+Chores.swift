// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

extension JobQueue {
    /// Queues work that is no organization's and asks no upstream; what a live job does already is left to it. Runs in the
    /// caller's transaction.
    /// - Parameter payloads: JSON, one for each key; nil for the keys themselves
    /// - Returns: how many were queued
    @discardableResult
    package func enqueueChores(
        _ kind: JobKind,
        keys: [String],
        payloads: [String]? = nil,
        queue: JobQueueName,
        priority: Int = JobPriority.ahead,
        maxAttempts: Int = 5,
        on transaction: some Queryable
    ) async throws -> Int {
        guard !keys.isEmpty else { return 0 }
        return try await transaction.execute(
            """
            INSERT INTO job (queue, kind, priority, unique_key, payload, max_attempts)
            SELECT \(queue.rawValue), \(kind.rawValue), \(priority)::smallint, key, payload,
                \(maxAttempts)::smallint
            FROM unnest(\(keys)::text[], \(payloads ?? keys.map { JSONText.encode($0) })::jsonb[]) AS k (key, payload)
            ORDER BY key
            ON CONFLICT (kind, unique_key) WHERE state IN ('available', 'running', 'retryable') DO NOTHING
            """
        )
    }

    /// Jobs of the kinds that aren't over.
    package func liveCount(of kinds: [JobKind], on db: some Queryable) async throws -> Int {
        let count = try await db.query(
            """
            SELECT count(*) FROM job
            WHERE kind = ANY(\(kinds.map(\.rawValue))::text[]) AND state IN ('available', 'running', 'retryable')
            """
        ).decodeFirst(Int.self)
        return count ?? 0
    }
}
