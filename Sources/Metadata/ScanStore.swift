// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// Which images are to be scanned, and how far each has come.
package struct ScanStore: Sendable {
    /// Of a manifest `m`: where it begins.
    private static let firstState = """
        CASE WHEN m.kind = 'image' AND EXISTS (
            SELECT 1 FROM manifest_blob mb WHERE mb.manifest_id = m.id AND mb.role = 'layer')
        THEN 'queued' ELSE 'unsupported' END
        """
    /// Rows that one statement changes.
    private static let renewedTogether = 5_000

    package init() {}

    // MARK: - Queueing, in the transactions that make images complete or end them

    /// Queues images that have just become complete. Safe to repeat.
    /// - Returns: how many wait for the scanner because of it
    @discardableResult
    package func queue(_ manifests: [ManifestID], on transaction: some Queryable) async throws -> Int {
        guard !manifests.isEmpty else { return 0 }
        let states = try await transaction.query(
            """
            INSERT INTO manifest_scan (manifest_id, state, due_at)
            SELECT id, state, CASE state WHEN 'queued' THEN now() END
            FROM (
                SELECT m.id, \(unescaped: Self.firstState) AS state FROM manifest m
                WHERE m.id = ANY(\(manifests.map(\.rawValue))::bigint[]) AND m.kind <> 'index'
            ) s
            ORDER BY id
            ON CONFLICT (manifest_id) DO NOTHING
            RETURNING state
            """
        ).decode(String.self)
        return states.count { $0 == ScanState.queued.rawValue }
    }

    /// Queues a manifest that was just stored, if all of its blobs are here already. Safe to repeat.
    ///
    /// The blobs are locked first: whoever places one of them at the same time either sees this manifest when it asks
    /// which images it completed, or is seen here. They are locked in the order of their digests, as they have to be by
    /// whoever else locks several.
    /// - Returns: whether it waits for the scanner because of it
    @discardableResult
    package func queueIfComplete(_ manifest: ManifestID, on transaction: some Queryable) async throws -> Bool {
        try await transaction.query(
            """
            SELECT 1 FROM blob
            WHERE digest IN (SELECT digest FROM manifest_blob WHERE manifest_id = \(manifest.rawValue))
            ORDER BY digest FOR SHARE
            """
        )
        // A statement of its own: it has to see what was committed while the first one waited.
        let complete = try await transaction.query(
            """
            SELECT m.id FROM manifest m
            WHERE m.id = \(manifest.rawValue) AND m.kind <> 'index' AND NOT \(unescaped: ImageStateStore.isIncomplete)
            """
        ).decode(Int64.self).map(ManifestID.init(rawValue:))
        return try await queue(complete, on: transaction) > 0
    }

    /// Has the scanner forget manifests that are about to be deleted. Call it in the transaction that deletes their rows,
    /// before it does so.
    package func queueDeletion(of manifests: [ManifestID], on transaction: some Queryable) async throws {
        guard !manifests.isEmpty else { return }
        try await transaction.query(
            """
            INSERT INTO scan_deletion (digest)
            SELECT m.digest FROM manifest m JOIN manifest_scan s ON s.manifest_id = m.id
            WHERE m.id = ANY(\(manifests.map(\.rawValue))::bigint[])
                AND (s.index_state IS NOT NULL OR s.sent_at IS NOT NULL)
            ORDER BY m.digest
            ON CONFLICT (digest) DO NOTHING
            """
        )
    }

    /// Queues complete images that nobody queued, as programs did that didn't know of scanning. Looks at some manifests at a
    /// time: there may be more than one statement can look at.
    /// - Parameters:
    ///   - last: the manifest that was looked at last; nil to begin with the first
    ///   - count: of the manifests to look at
    /// - Returns: how many wait for the scanner because of it, and the manifest that was looked at last; nil when there was none
    package func queueForgotten(
        after last: ManifestID?,
        lookingAt count: Int,
        on client: PostgresClient
    ) async throws -> (queued: Int, last: ManifestID?) {
        let first = last?.rawValue ?? 0
        guard let end = try await end(of: "id", in: "manifest", after: first, count, on: client) else {
            return (0, nil)
        }
        let forgotten = try await client.query(
            """
            SELECT m.id FROM manifest m
            WHERE m.id > \(first) AND m.id <= \(end) AND m.kind <> 'index'
                AND NOT EXISTS (SELECT 1 FROM manifest_scan s WHERE s.manifest_id = m.id)
                AND NOT \(unescaped: ImageStateStore.isIncomplete)
            ORDER BY m.id
            """
        ).decode(Int64.self).map(ManifestID.init(rawValue:))
        return (try await queue(forgotten, on: client), ManifestID(rawValue: end))
    }

    // MARK: - Working

    /// Images whose time has come, new ones first; not those that a job is about already. None is told again before `pause`
    /// has passed, unless its verdict says otherwise: what is lost with a job comes back then.
    package func takeDue(
        limit: Int,
        pause: Duration,
        on transaction: some Queryable
    ) async throws -> [ManifestID] {
        try await transaction.query(
            """
            WITH picked AS MATERIALIZED (
                SELECT manifest_id FROM manifest_scan
                WHERE due_at <= now() AND NOT EXISTS (
                    SELECT 1 FROM job WHERE kind = \(JobKind.imageScan.rawValue) AND unique_key = manifest_id::text
                        AND job.state IN ('available', 'running', 'retryable'))
                ORDER BY state = 'scanned', due_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            )
            UPDATE manifest_scan s SET due_at = now() + \(seconds: pause)
            FROM picked WHERE s.manifest_id = picked.manifest_id
            RETURNING s.manifest_id
            """
        ).decode(Int64.self).map(ManifestID.init(rawValue:))
    }

    /// Nil for one that is gone.
    package func image(_ manifest: ManifestID, on db: some Queryable) async throws -> ScanImage? {
        let found = try await db.query(
            """
            SELECT m.digest, s.state, s.failures, s.index_state, s.indexed_at IS NOT NULL, s.sent_at IS NOT NULL
            FROM manifest_scan s JOIN manifest m ON m.id = s.manifest_id
            WHERE s.manifest_id = \(manifest.rawValue)
            """
        ).decodeFirst((String, String, Int, String?, Bool, Bool).self)
        guard let (digest, state, failures, indexState, isIndexed, isInDoubt) = found else { return nil }
        let layers = try await db.query(
            """
            SELECT mb.digest, coalesce(b.size_bytes, mb.size_bytes), b.generation IS NOT NULL,
                \(unescaped: ImageStateStore.isForeign)
            FROM manifest_blob mb JOIN blob b ON b.digest = mb.digest
            WHERE mb.manifest_id = \(manifest.rawValue) AND mb.role = 'layer'
            ORDER BY mb.position
            """
        ).decode((String, Int64, Bool, Bool).self).map { digest, size, isPresent, isForeign in
            ScanLayer(digest: digest, sizeBytes: size, isPresent: isPresent, isForeign: isForeign)
        }
        return ScanImage(
            manifest: manifest,
            digest: digest,
            state: try parsed(state, "state"),
            failures: failures,
            indexState: indexState,
            isIndexed: isIndexed,
            isInDoubt: isInDoubt,
            layers: layers
        )
    }

    /// Writes down that the image is on its way, before it is sent: who comes after a crash asks first whether it arrived.
    package func noteSent(_ manifest: ManifestID, on db: some Queryable) async throws {
        try await db.query("UPDATE manifest_scan SET sent_at = now() WHERE manifest_id = \(manifest.rawValue)")
    }

    /// Writes down what came of a try. Who asked meanwhile for a fresh look gets another one.
    /// - Parameters:
    ///   - indexState: the scanner's, if it has answered
    ///   - isIndexed: whether the scanner has looked into the image, in that state; nil when nothing new is known
    ///   - isAnswered: false when nobody knows whether what was sent arrived
    package func record(
        _ verdict: ScanVerdict,
        of manifest: ManifestID,
        indexState: String?,
        isIndexed: Bool?,
        isAnswered: Bool,
        on transaction: some Queryable
    ) async throws {
        try await transaction.query(
            """
            UPDATE manifest_scan
            SET state = \(verdict.state.rawValue), failures = \(verdict.failures), reason = \(verdict.reason),
                due_at = CASE WHEN \(verdict.after == nil) THEN NULL WHEN due_at <= now() THEN due_at
                    ELSE now() + \(seconds: verdict.after) END,
                index_state = coalesce(\(indexState)::text, index_state),
                indexed_at = CASE WHEN \(isIndexed) IS NULL THEN indexed_at
                    WHEN NOT \(isIndexed) THEN NULL
                    WHEN index_state = \(indexState) THEN coalesce(indexed_at, now()) ELSE now() END,
                sent_at = CASE WHEN \(isAnswered) THEN NULL ELSE sent_at END
            WHERE manifest_id = \(manifest.rawValue)
            """
        )
    }

    /// Has the images looked at now, so that their reports are fresh; those that rest aren't disturbed.
    package func refresh(_ digests: [String], on transaction: some Queryable) async throws {
        guard !digests.isEmpty else { return }
        try await transaction.query(
            """
            UPDATE manifest_scan s SET due_at = now()
            FROM manifest m
            WHERE m.id = s.manifest_id AND m.digest = ANY(\(digests)::text[]) AND s.due_at > now()
            """
        )
    }

    // MARK: - The scanner

    /// The scanner's state as it was last seen; nil when it never was.
    package func indexState(on db: some Queryable) async throws -> String? {
        try await db.query("SELECT index_state FROM scanner").decodeFirst(String.self)
    }

    /// Writes down the scanner's state. One that changed sees more: images that it indexed before are indexed again, and
    /// those that it failed on are tried again. They may be many, so that it is done part by part; who is interrupted does it
    /// again, since the state is written down last.
    /// - Returns: how many images that are
    package func note(indexState: String, on client: PostgresClient) async throws -> Int {
        var changed = 0
        if try await self.indexState(on: client) != indexState {
            var last: Int64 = 0
            let count = Self.renewedTogether
            while let end = try await end(of: "manifest_id", in: "manifest_scan", after: last, count, on: client) {
                changed += try await client.execute(
                    """
                    UPDATE manifest_scan
                    SET state = CASE state WHEN 'scanned' THEN state ELSE 'queued' END, failures = 0, due_at = now()
                    WHERE manifest_id > \(last) AND manifest_id <= \(end)
                        AND state IN ('scanned', 'failed', 'exhausted') AND index_state <> \(indexState)
                    """
                )
                last = end
            }
        }
        try await client.query(
            """
            INSERT INTO scanner (index_state) VALUES (\(indexState))
            ON CONFLICT (is_only) DO UPDATE SET index_state = excluded.index_state, seen_at = now()
            """
        )
        return changed
    }

    /// How far the next so many rows of a table reach, in the order of a column; nil when there are none.
    private func end(
        of column: String,
        in table: String,
        after last: Int64,
        _ count: Int,
        on db: some Queryable
    ) async throws -> Int64? {
        try await db.query(
            """
            SELECT max(id) FROM (
                SELECT \(unescaped: column) AS id FROM \(unescaped: table) WHERE \(unescaped: column) > \(last)
                ORDER BY 1 LIMIT \(count)
            ) part
            """
        ).decodeFirst(Int64?.self)?.flatMap { $0 }
    }

    // MARK: - Deletions

    /// Digests that the scanner is to forget now; see ``takeDue(limit:pause:on:)``.
    package func takeDueDeletions(
        limit: Int,
        pause: Duration,
        on transaction: some Queryable
    ) async throws -> [String] {
        try await transaction.query(
            """
            WITH picked AS MATERIALIZED (
                SELECT digest FROM scan_deletion WHERE due_at <= now()
                ORDER BY due_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            )
            UPDATE scan_deletion d SET due_at = now() + \(seconds: pause)
            FROM picked WHERE d.digest = picked.digest
            RETURNING d.digest
            """
        ).decode(String.self)
    }

    /// Whether the manifest is here (again).
    package func isCached(_ digest: String, on db: some Queryable) async throws -> Bool {
        try await !db.query("SELECT 1 FROM manifest WHERE digest = \(digest)").isEmpty
    }

    package func finishDeletion(of digest: String, on transaction: some Queryable) async throws {
        try await transaction.query("DELETE FROM scan_deletion WHERE digest = \(digest)")
    }

    package func postponeDeletion(of digest: String, by delay: Duration, on transaction: some Queryable) async throws {
        try await transaction.query(
            "UPDATE scan_deletion SET due_at = now() + \(seconds: delay) WHERE digest = \(digest)"
        )
    }
}
