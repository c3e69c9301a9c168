// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import Postgres

/// The job table: one statement per verb. See README.md beside this file for the states.
///
/// No verb sends notifications: those go out after the commit, through ``JobNotifier``.
package struct JobQueue: Sendable {
    /// A job whose lease ran out this often has killed its workers and isn't given to another one.
    package static let maximumLapses = 3

    /// How long upstream's "I haven't got it" is believed. Never any other failure.
    package static let negativeAge: Duration = .seconds(30)

    package init() {}

    /// Queues the work, or joins the live job that does the same already, or the one that has just found that upstream
    /// hasn't got it. Runs in the caller's transaction, if any.
    ///
    /// Who asks with more urgency than the live job has takes it along: into the queue and to the place that are asked
    /// for, to be done now, however long it was to wait. One that is running stays where it is, and should it fail it is
    /// tried again at once (see ``fail(_:reason:retryAfter:result:on:)``).
    /// The payload of a new job names the request that is being served, if any, and its trace, so that the worker's lines
    /// and spans can.
    /// - Parameter queue: nil for the kind's own
    package func enqueue<Payload: JobPayload>(
        _ payload: Payload,
        queue: JobQueueName? = nil,
        priority: Int = JobPriority.client,
        maxAttempts: Int = 3,
        on db: some Queryable
    ) async throws -> JobID {
        // DO UPDATE rather than DO NOTHING: it returns the row that exists, without a second look that could miss it.
        let id = try await db.query(
            prepared: """
                WITH answered AS (
                    SELECT id FROM job
                    WHERE kind = \(Payload.kind.rawValue) AND unique_key = \(payload.uniqueKey) AND state = 'completed'
                        AND finalized_at > now() - \(seconds: Self.negativeAge)
                        AND result -> 'failure' ->> 'cause' = 'notFound'
                    ORDER BY finalized_at DESC LIMIT 1
                ), queued AS (
                    INSERT INTO job (queue, kind, priority, organization_id, upstream, unique_key, payload, max_attempts)
                    SELECT \((queue ?? Payload.queue).rawValue), \(Payload.kind.rawValue), \(priority)::smallint,
                        \(payload.organization.rawValue), \(payload.upstream), \(payload.uniqueKey),
                        \(json: payload) || jsonb_strip_nulls(jsonb_build_object(
                            'requestID', \(RequestID.current?.rawValue)::text,
                            'trace', \(JobTrace.current)::jsonb)),
                        \(maxAttempts)::smallint
                    WHERE NOT EXISTS (SELECT 1 FROM answered)
                    ON CONFLICT (kind, unique_key) WHERE state IN ('available', 'running', 'retryable')
                    DO UPDATE SET
                        priority = least(job.priority, excluded.priority),
                        queue = CASE WHEN excluded.priority < job.priority THEN excluded.queue ELSE job.queue END,
                        scheduled_at = CASE WHEN excluded.priority < job.priority
                            THEN clock_timestamp() ELSE job.scheduled_at END
                    RETURNING id
                )
                SELECT id FROM answered UNION ALL SELECT id FROM queued
                """
        ).decodeFirst(Int64.self)
        guard let id else { throw JobQueueError(.corruptRow, "INSERT INTO job returned no row") }
        return JobID(rawValue: id)
    }

    /// Queues work that nobody waits for, to be done after a delay; what a live job does already is left to it. Runs in
    /// the caller's transaction, whose other rows it can't hold up: rows are made in the order of their keys, and none
    /// that exists is touched.
    package func enqueueFills<Payload: JobPayload>(
        _ payloads: [Payload],
        after delay: Duration,
        maxAttempts: Int,
        on db: some Queryable
    ) async throws {
        guard !payloads.isEmpty else { return }
        try await db.query(
            """
            INSERT INTO job (queue, kind, priority, organization_id, upstream, unique_key, payload, max_attempts,
                scheduled_at)
            SELECT \(JobQueueName.fills.rawValue), \(Payload.kind.rawValue), \(JobPriority.fill)::smallint,
                organization, upstream, key, payload, \(maxAttempts)::smallint, now() + \(seconds: delay)
            FROM unnest(
                \(payloads.map(\.organization.rawValue))::bigint[], \(payloads.map(\.upstream))::text[],
                \(payloads.map(\.uniqueKey))::text[], \(payloads.map { JSONText.encode($0) })::jsonb[]
            ) AS p (organization, upstream, key, payload)
            ORDER BY key
            ON CONFLICT (kind, unique_key) WHERE state IN ('available', 'running', 'retryable') DO NOTHING
            """
        )
    }

    /// Extends leases. Returns those that are still held; a missing one was given to another worker.
    ///
    /// A job that somebody has locked is passed over: its work is being published, in a transaction that may wait for others,
    /// and nobody takes it away meanwhile. The leases of all other jobs would lapse behind it.
    package func heartbeat(
        _ leases: [JobLease],
        lease: Duration,
        on db: some Queryable
    ) async throws -> Set<JobLease> {
        let rows = try await db.query(
            """
            WITH held AS (
                SELECT job.id, job.lease_token FROM job
                JOIN unnest(\(leases.map(\.job.rawValue))::bigint[], \(leases.map(\.token))::bigint[]) AS lease (id, token)
                    ON job.id = lease.id AND job.lease_token = lease.token
                WHERE job.state = 'running'
            ), free AS (
                SELECT job.id, job.lease_token FROM job JOIN held ON held.id = job.id AND held.lease_token = job.lease_token
                WHERE job.state = 'running' FOR UPDATE OF job SKIP LOCKED
            ), extended AS (
                UPDATE job SET lease_expires_at = now() + \(seconds: lease)
                FROM free WHERE job.id = free.id AND job.lease_token = free.lease_token
            )
            SELECT id, lease_token FROM held
            """
        ).decode((Int64, Int64).self)
        return Set(rows.map { JobLease(job: JobID(rawValue: $0.0), token: $0.1) })
    }

    /// Ends the job well. In the transaction that publishes its work this is the fence.
    /// Throws ``JobQueueError`` `leaseLost` when the job is somebody else's.
    package func complete(_ lease: JobLease, result: String, on db: some Queryable) async throws {
        let changed = try await db.query(
            prepared: """
                UPDATE job
                SET state = 'completed', result = \(result)::jsonb, finalized_at = now(), lease_expires_at = NULL
                WHERE id = \(lease.job.rawValue) AND lease_token = \(lease.token) AND state = 'running'
                """
        ).affectedRows
        guard changed == 1 else { throw JobQueueError.leaseLost(lease) }
    }

    /// Ends the job well by one statement that does its work, too, if there is any to do.
    /// - Parameter work: an `UPDATE` without `RETURNING`, ended by its condition
    /// - Returns: false when the work changes no row; the job goes on then
    /// - Throws: ``JobQueueError`` `leaseLost` when the job is somebody else's: nothing is changed
    package func complete(
        _ lease: JobLease,
        result: String,
        with work: Query,
        on db: some Queryable
    ) async throws -> Bool {
        let ends = try await db.query(
            prepared: """
                WITH \(Self.doing(work, holding: lease)), ended AS (
                    UPDATE job
                    SET state = 'completed', result = \(result)::jsonb, finalized_at = now(), lease_expires_at = NULL
                    FROM held WHERE job.id = held.id AND EXISTS (SELECT FROM done)
                    RETURNING 1
                )
                SELECT EXISTS (SELECT FROM ended) FROM held
                """
        ).decodeFirst(Bool.self)
        guard let ends else { throw JobQueueError.leaseLost(lease) }
        return ends
    }

    /// Does work by one statement, and nothing unless the lease is held.
    /// - Parameter work: an `UPDATE` without `RETURNING`, ended by its condition
    /// - Throws: ``JobQueueError`` `leaseLost` when the job is somebody else's
    package func perform(_ work: Query, holding lease: JobLease, on db: some Queryable) async throws {
        let held = try await db.query(prepared: "WITH \(Self.doing(work, holding: lease)) SELECT 1 FROM held")
        guard !held.isEmpty else { throw JobQueueError.leaseLost(lease) }
    }

    /// Tables of a statement: `held` has a row while the lease is held, which doesn't lapse before the statement's end, and
    /// `done` one for each that the work then changes.
    private static func doing(_ work: Query, holding lease: JobLease) -> Query {
        """
        held AS MATERIALIZED (
            SELECT id FROM job WHERE id = \(lease.job.rawValue) AND lease_token = \(lease.token) AND state = 'running'
            FOR UPDATE
        ), done AS (
            \(work) AND EXISTS (SELECT FROM held) RETURNING 1
        )
        """
    }

    /// Fails inside a transaction unless the lease is held, and keeps it from lapsing until the transaction ends.
    package func fence(_ lease: JobLease, on db: some Queryable) async throws {
        let held = try await db.query(
            prepared: """
                SELECT 1 FROM job WHERE id = \(lease.job.rawValue) AND lease_token = \(lease.token) AND state = 'running'
                FOR UPDATE
                """
        )
        guard !held.isEmpty else { throw JobQueueError.leaseLost(lease) }
    }

    /// Ends this attempt badly; `retryAfter` nil ends the job. The reason is kept in the row. A job that was asked for
    /// with more urgency during this attempt doesn't wait.
    package func fail(
        _ lease: JobLease,
        reason: String,
        retryAfter: Duration?,
        result: String?,
        on db: some Queryable
    ) async throws {
        let isFinal = retryAfter == nil
        let changed = try await db.execute(
            """
            UPDATE job
            SET state = CASE WHEN \(isFinal) THEN 'discarded' ELSE 'retryable' END::job_state,
                finalized_at = CASE WHEN \(isFinal) THEN now() END,
                scheduled_at = CASE WHEN scheduled_at > attempted_at
                    THEN scheduled_at ELSE now() + \(seconds: retryAfter ?? .zero) END,
                result = \(result)::jsonb,
                lapses = 0,
                errors = errors || jsonb_build_object(
                    'at', now(), 'attempt', attempt, 'worker', attempted_by, 'message', \(reason)::text),
                lease_expires_at = NULL
            WHERE id = \(lease.job.rawValue) AND lease_token = \(lease.token) AND state = 'running'
            """
        )
        guard changed == 1 else { throw JobQueueError.leaseLost(lease) }
    }

    /// Gives jobs back unharmed, as at shutdown: the attempt doesn't count, another worker may start at once.
    package func handBack(_ leases: [JobLease], on db: some Queryable) async throws {
        try await db.query(
            """
            UPDATE job
            SET state = 'available', attempt = attempt - 1, scheduled_at = now(), lease_expires_at = NULL
            FROM unnest(\(leases.map(\.job.rawValue))::bigint[], \(leases.map(\.token))::bigint[]) AS held (id, token)
            WHERE job.id = held.id AND job.lease_token = held.token AND job.state = 'running'
            """
        )
    }

    /// Whether somebody has asked for it with more urgency since it was claimed.
    package func isRaised(_ job: ClaimedJob, on db: some Queryable) async throws -> Bool {
        try await db.query("SELECT priority < \(job.priority) FROM job WHERE id = \(job.lease.job.rawValue)")
            .decodeFirst(Bool.self) ?? false
    }

    /// What became of these jobs; those that were cleaned away are missing.
    package func statuses(of jobs: [JobID], on db: some Queryable) async throws -> [JobStatus] {
        try await db.query(
            prepared: "SELECT id, state, result, payload FROM job WHERE id = ANY(\(jobs.map(\.rawValue))::bigint[])"
        ).map { row in
            let (id, state, result, payload) = try row.decode((Int64, String, String?, String).self)
            guard let state = JobState(rawValue: state) else {
                throw JobQueueError(.corruptRow, "job \(id) is in a state that this program doesn't know")
            }
            return JobStatus(id: JobID(rawValue: id), state: state, result: result, payload: payload)
        }
    }
}
