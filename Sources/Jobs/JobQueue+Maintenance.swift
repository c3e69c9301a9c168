// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// What keeps the table in order.
extension JobQueue {
    /// Takes jobs from workers that fell silent. They may be claimed again at once, and the attempt doesn't count, but a
    /// job that has lapsed ``maximumLapses`` times in a row is discarded with `lapsedResult` for those who wait.
    package func rescue(lapsedResult: String, on db: some Queryable) async throws -> [RescuedJob] {
        try await db.query(
            """
            WITH lapsed AS MATERIALIZED (
                SELECT id FROM job WHERE state = 'running' AND lease_expires_at < now()
                ORDER BY lease_expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
            ), judged AS (
                SELECT job.id, (job.lapses + 1 >= \(Self.maximumLapses)) AS is_poison FROM job JOIN lapsed USING (id)
            )
            UPDATE job
            SET state = CASE WHEN is_poison THEN 'discarded' ELSE 'available' END::job_state,
                finalized_at = CASE WHEN is_poison THEN now() END,
                result = CASE WHEN is_poison THEN \(lapsedResult)::jsonb END,
                attempt = attempt - CASE WHEN is_poison THEN 0 ELSE 1 END,
                lapses = lapses + 1,
                scheduled_at = now(),
                errors = errors || jsonb_build_object(
                    'at', now(), 'attempt', attempt, 'worker', attempted_by, 'message', 'lease ran out'),
                lease_expires_at = NULL
            FROM judged WHERE job.id = judged.id
            RETURNING job.id, job.queue, job.state
            """
        ).map { row in
            let (id, queue, state) = try row.decode((Int64, String, String).self)
            return RescuedJob(id: JobID(rawValue: id), queue: queue, isDiscarded: state == JobState.discarded.rawValue)
        }
    }

    /// Removes finished jobs, a batch at a time: completed ones soon, discarded ones later, since people read those.
    /// - Returns: how many went.
    package func clean(
        completedOlderThan completedAge: Duration,
        discardedOlderThan discardedAge: Duration,
        limit: Int,
        on db: some Queryable
    ) async throws -> Int {
        try await db.execute(
            """
            DELETE FROM job WHERE id IN (
                SELECT id FROM job
                WHERE (state = 'completed' AND finalized_at < now() - \(seconds: completedAge))
                    OR (state = 'discarded' AND finalized_at < now() - \(seconds: discardedAge))
                ORDER BY finalized_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            )
            """
        )
    }
}

/// A job whose worker fell silent.
package struct RescuedJob: Sendable, Hashable {
    package let id: JobID
    package let queue: String
    package let isDiscarded: Bool
}
