// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// What a queue holds.
package struct QueueSummary: Sendable, Hashable {
    package let queue: JobQueueName
    /// Waiting for a worker, or for their time.
    package let available: Int
    package let running: Int
    /// Failed, and to be tried again.
    package let retryable: Int
    /// Given up on within the last day.
    package let discarded: Int
    /// Age of the oldest job that could have been taken up by now; nil when there is none.
    package let oldestDue: Duration?

    package init(
        queue: JobQueueName,
        available: Int,
        running: Int,
        retryable: Int,
        discarded: Int,
        oldestDue: Duration?
    ) {
        self.queue = queue
        self.available = available
        self.running = running
        self.retryable = retryable
        self.discarded = discarded
        self.oldestDue = oldestDue
    }
}

extension JobQueue {
    /// All queues, the empty ones included, in their order.
    package func summaries(on db: some Queryable) async throws -> [QueueSummary] {
        let rows = try await db.query(
            """
            SELECT queue, count(*) FILTER (WHERE state = 'available'), count(*) FILTER (WHERE state = 'running'),
                count(*) FILTER (WHERE state = 'retryable'), count(*) FILTER (WHERE state = 'discarded'),
                extract(epoch FROM now() - min(scheduled_at) FILTER (
                    WHERE state IN ('available', 'retryable') AND scheduled_at <= now()))::float8
            FROM job WHERE state <> 'completed' GROUP BY queue
            """
        ).decode((String, Int, Int, Int, Int, Double?).self)
        return JobQueueName.allCases.map { queue in
            let row = rows.first { $0.0 == queue.rawValue } ?? (queue.rawValue, 0, 0, 0, 0, nil)
            return QueueSummary(
                queue: queue,
                available: row.1,
                running: row.2,
                retryable: row.3,
                discarded: row.4,
                oldestDue: row.5.map { .seconds($0) }
            )
        }
    }
}
