// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

extension JobQueue {
    /// Arbitrary, but the same in every binary.
    private static let claimLock: Int64 = 0x656E_7472_636C_6169

    /// Takes up to `limit` jobs of the kinds that the worker handles; others may belong to a newer program. Smallest
    /// priority first; among equals those of the organization that has the fewest running, so that one organization's
    /// thousand jobs don't hold up another's one. Jobs of an upstream that has a maximum of connections wait while as
    /// many of its jobs run, in whichever worker; fills leave one of several connections to clients.
    /// - Parameter bytesInFlight: how many bytes of blobs may be on their way for one organization, so that nobody alone
    ///   fills the storage; the rest waits. A blob that is larger comes alone. Nil for no limit.
    /// - Parameter ownerShare: how many jobs of one organization this worker may have at once, so that an upstream that hangs
    ///   doesn't take all of it. Nil for no limit.
    /// - Returns: the jobs, and whether those limits may have held others back
    package func claim(
        _ queue: JobQueueName,
        kinds: [JobKind],
        limit: Int,
        worker: String,
        lease: Duration,
        bytesInFlight: Int64? = nil,
        ownerShare: Int? = nil,
        on client: PostgresClient
    ) async throws -> (jobs: [ClaimedJob], isHeldBack: Bool) {
        var claim = Claim(
            queue: queue,
            kinds: kinds,
            limit: limit,
            worker: worker,
            lease: lease,
            bytesInFlight: kinds.contains(.blobFetch) ? bytesInFlight : nil,
            ownerShare: ownerShare
        )
        if claim.bytesInFlight == nil {
            // Mostly nothing is limited: then this is all that it takes.
            let jobs = try await take(claim, on: client)
            guard jobs.isEmpty else { return (jobs, false) }
        }
        let isLimited = try await client.query(prepared: "SELECT \(Self.isLimited)").decodeFirst(Bool.self)
        claim.isOfLimitedUpstreams = isLimited == true
        guard claim.isOfLimitedUpstreams || claim.bytesInFlight != nil else { return ([], false) }
        // Two claims at once would each count without the other's.
        let jobs = try await client.withTransaction { transaction in
            try await transaction.query("SELECT pg_advisory_xact_lock(\(Self.claimLock))")
            return try await take(claim, on: transaction)
        }
        return (jobs, true)
    }

    /// What one worker asks for.
    struct Claim {
        let queue: JobQueueName
        let kinds: [JobKind]
        let limit: Int
        let worker: String
        let lease: Duration
        /// Some upstream has a maximum of connections.
        var isOfLimitedUpstreams = false
        var bytesInFlight: Int64?
        var ownerShare: Int?
    }

    /// How many jobs of an organization are looked at beyond those that are asked for: other claims may have them in hand.
    private static let spare = 64

    /// A claim whose transaction is the caller's. What it reads grows with the organizations that have jobs, not with
    /// their jobs.
    func take(_ claim: Claim, on db: some Queryable) async throws -> [ClaimedJob] {
        let queue = claim.queue.rawValue
        let waiting: Query = "job.queue = \(queue) AND job.state IN ('available', 'retryable')"
        // One that counts no connections takes nothing where they are to be counted.
        let guarded: Query = claim.isOfLimitedUpstreams ? waiting : "\(waiting) AND NOT \(Self.isLimited)"
        let connections = claim.isOfLimitedUpstreams ? Self.connections(isFill: claim.queue == .fills) : Limit()
        let bytes = claim.bytesInFlight.map { Self.bytes(inFlight: $0) } ?? Limit()
        // Chores are nobody's.
        let share: Query = claim.ownerShare.map { "AND (due.owner = 0 OR due.place <= \($0) - due.here)" } ?? ""
        // The rows are locked by their ids: `waiting` said otherwise there, so that the planner doesn't read all of them.
        // The locking SELECT sits in a MATERIALIZED CTE: inlined, the planner may run it more than once and lock more
        // rows than the limit.
        return try await db.query(
            prepared: """
                WITH RECURSIVE owner (id) AS (
                    (SELECT \(Self.owner) FROM job WHERE \(guarded) ORDER BY 1 LIMIT 1)
                    UNION ALL
                    SELECT next.id FROM owner CROSS JOIN LATERAL (
                        SELECT \(Self.owner) AS id FROM job WHERE \(waiting) AND \(Self.owner) > owner.id ORDER BY 1 LIMIT 1
                    ) next
                ), busy AS (
                    SELECT \(Self.owner) AS owner, count(*) AS running,
                        count(*) FILTER (WHERE attempted_by = \(claim.worker)) AS here
                    FROM job WHERE queue = \(queue) AND state = 'running' GROUP BY 1
                ), due AS MATERIALIZED (
                    SELECT owner.id AS owner, coalesce(busy.running, 0) AS running, coalesce(busy.here, 0) AS here,
                        row_number() OVER (PARTITION BY owner.id ORDER BY next.priority, next.scheduled_at, next.id) AS place,
                        next.*
                    FROM owner LEFT JOIN busy ON busy.owner = owner.id
                    CROSS JOIN LATERAL (
                        SELECT id, kind, upstream, priority, scheduled_at, payload FROM job
                        WHERE \(waiting) AND \(Self.owner) = owner.id AND kind = ANY(\(claim.kinds.map(\.rawValue))::text[])
                            AND scheduled_at <= now()
                        ORDER BY priority, scheduled_at, id LIMIT \(claim.limit + Self.spare)
                    ) next
                )\(connections.tables)\(bytes.tables), picked AS MATERIALIZED (
                    SELECT job.id FROM due JOIN job USING (id) \(connections.join) \(bytes.join)
                    WHERE job.id = ANY(ARRAY(SELECT id FROM due)) AND job.queue = \(queue) AND job.state <> 'running'
                        AND job.finalized_at IS NULL AND job.scheduled_at <= now() \(connections.condition) \(bytes.condition)
                        \(share)
                    ORDER BY due.priority, due.running, due.scheduled_at, due.id
                    LIMIT \(claim.limit)
                    FOR UPDATE OF job SKIP LOCKED
                )
                UPDATE job
                SET state = 'running', attempt = attempt + 1, attempted_at = now(), attempted_by = \(claim.worker),
                    lease_token = nextval('job_lease_token'), lease_expires_at = now() + \(seconds: claim.lease)
                FROM picked WHERE job.id = picked.id
                RETURNING job.id, lease_token, kind, payload, job.priority, attempt, max_attempts,
                    payload ->> 'requestID', payload ->> 'trace'
                """
        ).map { row in
            let (id, token, kind, payload, priority, attempt, maxAttempts, request, trace) = try row.decode(
                (Int64, Int64, String, String, Int, Int, Int, String?, String?).self
            )
            guard let kind = JobKind(rawValue: kind) else {
                throw JobQueueError(.corruptRow, "job \(id) is of a kind that this program doesn't know")
            }
            return ClaimedJob(
                lease: JobLease(job: JobID(rawValue: id), token: token),
                kind: kind,
                payload: payload,
                priority: priority,
                attempt: attempt,
                maxAttempts: maxAttempts,
                context: JobTrace.context(of: request, trace)
            )
        }
    }

    /// Whether some upstream has a maximum of connections.
    private static let isLimited: Query = "EXISTS (SELECT FROM upstream WHERE max_connections > 0)"

    /// Whose job it is; chores are nobody's.
    private static let owner: Query = "coalesce(organization_id, 0)"

    /// What holds back some of the jobs that are due.
    private struct Limit {
        /// Tables of the claim's statement, each after a comma.
        var tables: Query = ""
        var join: Query = ""
        var condition: Query = ""
    }

    /// No more jobs of an upstream than it has connections left.
    private static func connections(isFill: Bool) -> Limit {
        Limit(
            tables: """
                , room AS (
                    SELECT base_url, max_connections - CASE WHEN \(isFill) AND max_connections > 1 THEN 1 ELSE 0 END
                        - (SELECT count(*) FROM job WHERE job.upstream = base_url AND state = 'running') AS free
                    FROM upstream WHERE max_connections IS NOT NULL
                ), ranked AS (
                    SELECT due.id, room.free, row_number() OVER (
                        PARTITION BY upstream ORDER BY priority, running, scheduled_at, due.id
                    ) AS place
                    FROM due JOIN room ON room.base_url = due.upstream
                )
                """,
            join: "LEFT JOIN ranked ON ranked.id = job.id",
            condition: "AND (ranked.id IS NULL OR ranked.place <= ranked.free)"
        )
    }

    /// No more bytes of blobs on their way for an organization; one that is larger comes alone.
    private static func bytes(inFlight limit: Int64) -> Limit {
        let blobs = JobKind.blobFetch.rawValue
        return Limit(
            tables: """
                , flying AS (
                    SELECT \(owner) AS owner, sum((payload ->> 'sizeBytes')::bigint) AS bytes
                    FROM job WHERE state = 'running' AND kind = \(blobs) GROUP BY 1
                ), weighed AS (
                    SELECT due.id, coalesce(flying.bytes, 0) AS before, coalesce(flying.bytes, 0)
                        + sum((payload ->> 'sizeBytes')::bigint)
                            OVER (PARTITION BY owner ORDER BY priority, scheduled_at, due.id) AS after,
                        row_number() OVER (PARTITION BY owner ORDER BY priority, scheduled_at, due.id) AS place
                    FROM due LEFT JOIN flying USING (owner)
                    WHERE kind = \(blobs)
                )
                """,
            join: "LEFT JOIN weighed ON weighed.id = job.id",
            condition: """
                AND (weighed.id IS NULL OR weighed.after <= \(limit) OR (weighed.before = 0 AND weighed.place = 1))
                """
        )
    }
}
