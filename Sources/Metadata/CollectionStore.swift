// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
import OCI
package import Postgres

/// The collector's steps: each takes a batch in a transaction of its own, skips what others have locked, and leaves a state
/// that the next run goes on from, whenever it ends.
///
/// An ended tag leaves the time machine; what nothing keeps leaves its repository; manifests that no repository has go, and
/// condemn the blobs that nothing names then; after a grace those go, and leave their objects as garbage; the bytes go last.
/// Storing a manifest brings back whatever of it is still there.
package struct CollectionStore: Sendable {
    /// How long things are kept, and how many are taken at once.
    package struct Limits: Sendable {
        /// Of organizations that don't say otherwise.
        package var timeMachine: Duration = .seconds(14 * 86_400)
        /// How long what nothing keeps stays in its repository, and what no manifest names in the storage.
        package var grace: Duration = .seconds(3_600)
        /// How long an object outlives its row: longer than frontends remember placements.
        package var readerGrace: Duration = .seconds(30)
        /// How long a list of referrers is kept after upstream last told it.
        package var referrerLists: Duration = .seconds(14 * 86_400)
        package var batch = 100

        package init() {}
    }

    /// Nobody is made to wait, and we don't wait for long, either.
    private static let lockTimeout = "2s"
    private static let rangeSize = 500
    /// All repositories there can be.
    package static let everywhere: ClosedRange<Int64> = 0...Int64.max

    private let usage = UsageStore()
    private let log = LogStore()
    private let scans = ScanStore()

    package init() {}

    // MARK: - Steps

    /// Where to look for ended tags and empty repositories: all repositories, in ranges of their ids that are quick to go
    /// through.
    package func ranges(on db: some Queryable) async throws -> [ClosedRange<Int64>] {
        try await db.query(
            """
            SELECT min(id), max(id) FROM (
                SELECT id, (row_number() OVER (ORDER BY id) - 1) / \(Self.rangeSize) AS number FROM repository
            ) r GROUP BY number ORDER BY number
            """
        ).decode((Int64, Int64).self).map { $0...$1 }
    }

    /// Takes ended lifetimes out of the time machine.
    package func forgetTags(
        in repositories: ClosedRange<Int64> = everywhere,
        _ limits: Limits,
        on client: PostgresClient
    ) async throws -> Int {
        try await step(client) { transaction in
            let over = try await transaction.query(
                """
                SELECT id FROM tag WHERE id = ANY(ARRAY(
                    SELECT over.id FROM repository r JOIN organization o ON o.id = r.organization_id
                    CROSS JOIN LATERAL (
                        SELECT t.id FROM tag t
                        WHERE t.repository_id = r.id AND t.lifetime_end_at < now() - greatest(\(seconds: limits.grace),
                            coalesce(o.time_machine_s * interval '1 second', \(seconds: limits.timeMachine)))
                        UNION
                        SELECT t.id FROM tag t
                        WHERE t.repository_id = r.id AND t.end_reason = 'pruned' AND NOT o.keeps_pruned
                            AND t.lifetime_end_at < now() - \(seconds: limits.grace)
                    ) over
                    WHERE r.id BETWEEN \(repositories.lowerBound) AND \(repositories.upperBound) LIMIT \(limits.batch)
                )) FOR UPDATE SKIP LOCKED
                """
            ).decode(Int64.self)
            try await log.append(.forgetTag, ofLifetimes: over, on: transaction)
            let gone = try await transaction.execute("DELETE FROM tag WHERE id = ANY(\(over)::bigint[])")
            try await add(.init(.tags, items: Int64(gone)), on: transaction)
            return gone
        }
    }

    /// Organizations that ``dropMembers(of:_:on:)`` has something to look at in.
    package func ownersOfMembers(_ limits: Limits, on db: some Queryable) async throws -> [OrganizationID] {
        try await db.query(
            """
            SELECT organization_id FROM organization_usage u WHERE EXISTS (
                SELECT 1 FROM member_candidate c
                WHERE c.organization_id = u.organization_id AND c.since < now() - \(seconds: limits.grace)
            ) ORDER BY organization_id
            """
        ).decode(Int64.self).map(OrganizationID.init(rawValue:))
    }

    /// Takes manifests out of repositories where nothing keeps them, nothing can revive them, and nobody has pulled them
    /// for the grace. The organization's lock keeps other collectors from the same ones.
    /// - Returns: how many were looked at and decided upon
    package func dropMembers(
        of owner: OrganizationID,
        _ limits: Limits,
        on client: PostgresClient
    ) async throws -> Int {
        try await step(client) { transaction in
            try await usage.lock(owner, on: transaction)
            let due = try await transaction.query(
                """
                SELECT id FROM member_candidate
                WHERE organization_id = \(owner.rawValue) AND since < now() - \(seconds: limits.grace)
                ORDER BY since LIMIT \(limits.batch)
                """
            ).decode(Int64.self)
            guard !due.isEmpty else { return 0 }
            let dropped = try await transaction.execute(
                """
                DELETE FROM repository_manifest rm
                WHERE (rm.repository_id, rm.manifest_id) IN (
                        SELECT repository_id, manifest_id FROM member_candidate WHERE id = ANY(\(due)::bigint[])
                    ) AND greatest(rm.released_at, rm.last_pulled_at) < now() - \(seconds: limits.grace)
                    AND rm.released_at IS NOT NULL
                    AND NOT EXISTS (
                        SELECT 1 FROM tag t
                        WHERE t.repository_id = rm.repository_id AND t.manifest_id = rm.manifest_id
                    ) AND NOT EXISTS (
                        SELECT 1 FROM manifest m
                        JOIN manifest_child c ON c.digest = m.digest
                        JOIN repository_manifest p
                            ON p.repository_id = rm.repository_id AND p.manifest_id = c.parent_id
                        WHERE m.id = rm.manifest_id
                    )
                """
            )
            // What was pulled, or came back and went again, has another grace. The rest is decided: if something keeps it,
            // the end of that brings it here again.
            try await transaction.query(
                """
                UPDATE member_candidate c SET since = greatest(rm.released_at, rm.last_pulled_at)
                FROM repository_manifest rm
                WHERE c.id = ANY(\(due)::bigint[])
                    AND rm.repository_id = c.repository_id AND rm.manifest_id = c.manifest_id
                    AND rm.released_at IS NOT NULL
                    AND greatest(rm.released_at, rm.last_pulled_at) >= now() - \(seconds: limits.grace)
                """
            )
            try await transaction.query(
                """
                DELETE FROM member_candidate
                WHERE id = ANY(\(due)::bigint[]) AND since < now() - \(seconds: limits.grace)
                """
            )
            try await add(.init(.memberships, items: Int64(dropped)), on: transaction)
            return due.count
        }
    }

    /// Removes manifests that no repository has.
    /// - Returns: how many were looked at and decided upon
    package func dropManifests(_ limits: Limits, on client: PostgresClient) async throws -> Int {
        try await step(client) { transaction in
            let candidates = try await transaction.query(
                "SELECT id, manifest_id FROM manifest_candidate ORDER BY id LIMIT \(limits.batch) FOR UPDATE SKIP LOCKED"
            ).decode((Int64, Int64).self)
            guard !candidates.isEmpty else { return 0 }
            let ids = Array(Set(candidates.map(\.1)))
            let locked = try await transaction.query(
                "SELECT id FROM manifest WHERE id = ANY(\(ids)::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED"
            ).decode(Int64.self)
            // Statements of their own: they see what was committed before the rows were locked.
            let doomed = try await transaction.query(
                """
                SELECT id FROM manifest m WHERE id = ANY(\(locked)::bigint[])
                    AND NOT EXISTS (SELECT 1 FROM repository_manifest rm WHERE rm.manifest_id = m.id)
                """
            ).decode(Int64.self)
            try await scans.queueDeletion(of: doomed.map(ManifestID.init(rawValue:)), on: transaction)
            let bytes = try await transaction.query(
                "DELETE FROM manifest WHERE id = ANY(\(doomed)::bigint[]) RETURNING size_bytes"
            ).decode(Int64.self)
            let decided = try await transaction.execute(
                """
                DELETE FROM manifest_candidate c
                WHERE id = ANY(\(candidates.map(\.0))::bigint[]) AND (c.manifest_id = ANY(\(locked)::bigint[])
                    OR NOT EXISTS (SELECT 1 FROM manifest m WHERE m.id = c.manifest_id))
                """
            )
            try await add(.init(.manifests, items: Int64(bytes.count), bytes: bytes.reduce(0, +)), on: transaction)
            return decided
        }
    }

    /// Condemns blobs that no manifest names any more.
    /// - Returns: how many were looked at and decided upon
    package func condemnBlobs(_ limits: Limits, on client: PostgresClient) async throws -> Int {
        try await step(client) { transaction in
            let candidates = try await transaction.query(
                "SELECT id, digest FROM blob_candidate ORDER BY id LIMIT \(limits.batch) FOR UPDATE SKIP LOCKED"
            ).decode((Int64, String).self)
            guard !candidates.isEmpty else { return 0 }
            let digests = Array(Set(candidates.map(\.1)))
            let locked = try await transaction.query(
                "SELECT digest FROM blob WHERE digest = ANY(\(digests)::text[]) ORDER BY digest FOR UPDATE SKIP LOCKED"
            ).decode(String.self)
            let bytes = try await transaction.query(
                """
                UPDATE blob b SET condemned_at = now()
                WHERE digest = ANY(\(locked)::text[]) AND condemned_at IS NULL
                    AND NOT EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.digest = b.digest)
                RETURNING coalesce(size_bytes, 0)
                """
            ).decode(Int64.self)
            let decided = try await transaction.execute(
                """
                DELETE FROM blob_candidate c
                WHERE id = ANY(\(candidates.map(\.0))::bigint[]) AND (c.digest = ANY(\(locked)::text[])
                    OR NOT EXISTS (SELECT 1 FROM blob b WHERE b.digest = c.digest))
                """
            )
            try await add(.init(.condemned, items: Int64(bytes.count), bytes: bytes.reduce(0, +)), on: transaction)
            return decided
        }
    }

    /// Removes the rows of blobs that were condemned a grace ago and that nobody is fetching; their objects become garbage.
    package func dropBlobs(_ limits: Limits, on client: PostgresClient) async throws -> Int {
        try await step(client) { transaction in
            let locked = try await transaction.query(
                """
                SELECT digest FROM blob WHERE condemned_at < now() - \(seconds: limits.grace)
                ORDER BY condemned_at LIMIT \(limits.batch) FOR UPDATE SKIP LOCKED
                """
            ).decode(String.self)
            guard !locked.isEmpty else { return 0 }
            // That they are condemned isn't asked again, as the locks keep them so: the planner would read all that are.
            let bytes = try await transaction.query(
                """
                WITH gone AS (
                    DELETE FROM blob b WHERE digest = ANY(\(locked)::text[])
                        AND NOT EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.digest = b.digest)
                        AND NOT EXISTS (
                            SELECT 1 FROM job j
                            WHERE j.kind = \(JobKind.blobFetch.rawValue) AND j.unique_key = b.digest AND j.state = 'running'
                        )
                    RETURNING digest, generation, size_bytes
                ), kept AS (
                    INSERT INTO garbage (generation, digest, size_bytes)
                    SELECT generation, digest, size_bytes FROM gone WHERE generation IS NOT NULL
                )
                SELECT coalesce(size_bytes, 0) FROM gone
                """
            ).decode(Int64.self)
            try await add(.init(.blobs, items: Int64(bytes.count), bytes: bytes.reduce(0, +)), on: transaction)
            return bytes.count
        }
    }

    /// Objects whose rows have been gone for long enough, the oldest first.
    /// - Parameter last: only those after this one; none when it went meanwhile
    package func garbage(
        _ limits: Limits,
        after last: Generation? = nil,
        on db: some Queryable
    ) async throws -> [BlobPlacement] {
        try await db.query(
            """
            SELECT digest, generation, size_bytes FROM garbage
            WHERE since < now() - \(seconds: min(limits.grace, limits.readerGrace))
                AND (\(last?.rawValue)::uuid IS NULL OR (since, generation) > (
                    SELECT since, generation FROM garbage WHERE generation = \(last?.rawValue)
                ))
            ORDER BY since, generation LIMIT \(limits.batch)
            """
        ).decode((String, UUID, Int64).self).map { digest, generation, size in
            BlobPlacement(
                digest: try parsed(digest, "digest"),
                generation: Generation(rawValue: generation),
                sizeBytes: size
            )
        }
    }

    /// Returns when everything that was committed before is on the disk. What is read must not be lost once files have gone
    /// by it.
    package func makeDurable(on client: PostgresClient) async throws {
        // A commit that has written something waits for all that was written before.
        try await client.query("SELECT pg_logical_emit_message(true, 'entrepot', 'collection')")
    }

    /// Says that the bytes of these are gone. Told twice, they count once.
    package func forget(_ objects: [BlobPlacement], on client: PostgresClient) async throws {
        try await step(client) { transaction in
            let bytes = try await transaction.query(
                """
                DELETE FROM garbage WHERE generation IN (
                    SELECT generation FROM garbage
                    WHERE generation = ANY(\(objects.map(\.generation.rawValue))::uuid[])
                    ORDER BY generation FOR UPDATE SKIP LOCKED
                ) RETURNING size_bytes
                """
            ).decode(Int64.self)
            let total = bytes.reduce(0, +)
            try await add(.init(.objects, items: Int64(bytes.count), bytes: total), on: transaction)
            guard !bytes.isEmpty else { return }
            let facts = ["blobs": "\(bytes.count)", "bytes": "\(total)"]
            try await log.append([LogEntry(.collectGarbage, metadata: facts)], on: transaction)
        }
    }

    /// Removes repositories that have nothing: no manifest, no pin, no list of this hour.
    package func dropRepositories(
        in range: ClosedRange<Int64> = everywhere,
        _ limits: Limits,
        on client: PostgresClient
    ) async throws -> Int {
        // Those of an organization that somebody is busy with would hold up those of all others.
        let empty = try await client.query(
            """
            SELECT r.organization_id, r.id FROM repository r
            JOIN organization_usage u ON u.organization_id = r.organization_id
            WHERE r.id BETWEEN \(range.lowerBound) AND \(range.upperBound)
                AND \(unescaped: Self.isEmpty) AND r.created_at < now() - \(seconds: limits.grace)
            ORDER BY r.organization_id LIMIT \(limits.batch) FOR KEY SHARE OF u SKIP LOCKED
            """
        ).decode((Int64, Int64).self)
        var gone = 0
        for (owner, repositories) in Dictionary(grouping: empty, by: \.0).sorted(by: { $0.key < $1.key }) {
            gone += try await step(client) { transaction in
                try await usage.lock(OrganizationID(rawValue: owner), on: transaction)
                // Lists are stored without the organization's lock: the row's lock comes before the look.
                let locked = try await transaction.query(
                    """
                    SELECT id FROM repository WHERE id = ANY(\(repositories.map(\.1))::bigint[])
                    ORDER BY id FOR UPDATE SKIP LOCKED
                    """
                ).decode(Int64.self)
                let dropped = try await transaction.execute(
                    "DELETE FROM repository r WHERE r.id = ANY(\(locked)::bigint[]) AND \(unescaped: Self.isEmpty)"
                )
                try await add(.init(.repositories, items: Int64(dropped)), on: transaction)
                return dropped
            }
        }
        return gone
    }

    static let isEmpty = """
        NOT EXISTS (SELECT 1 FROM repository_manifest rm WHERE rm.repository_id = r.id)
            AND NOT EXISTS (SELECT 1 FROM tag_pin p WHERE p.repository_id = r.id)
            AND NOT EXISTS (
                SELECT 1 FROM tag_list l WHERE l.repository_id = r.id AND l.checked_at > now() - interval '1 hour'
            ) AND NOT EXISTS (
                SELECT 1 FROM referrer_list l WHERE l.repository_id = r.id AND l.checked_at > now() - interval '1 hour'
            )
        """

    // MARK: - Totals

    /// Adds to what is told of the collector's work.
    package func add(_ count: CollectionCount, on db: some Queryable) async throws {
        guard count.items > 0 else { return }
        try await db.query(
            """
            INSERT INTO collection_total AS t (kind, items, bytes)
            VALUES (\(count.kind.rawValue), \(count.items), \(count.bytes))
            ON CONFLICT (kind) DO UPDATE
            SET items = t.items + excluded.items, bytes = t.bytes + excluded.bytes, last_at = now()
            """
        )
    }

    /// No step waits for the disk with its locks in hand: a crash of the server takes the last ones back, the latest first,
    /// and each can be done again.
    func step<Result>(
        _ client: PostgresClient,
        _ body: (Connection) async throws -> Result
    ) async throws -> Result {
        try await client.withTransaction(isDurable: false) { transaction in
            try await transaction.query("SET LOCAL lock_timeout = \(unescaped: "'\(Self.lockTimeout)'")")
            return try await body(transaction)
        }
    }
}
