// SPDX-License-Identifier: Apache-2.0

package import Postgres

/// The log's partitions: one for each day (UTC).
extension LogStore {
    /// What ``keepPartitions(daysAhead:retention:on:)`` came to.
    package enum PartitionState: Sendable, Hashable {
        /// All is done.
        case kept
        /// Somebody was in the way, and there is time to try again.
        case postponed
        /// Somebody was in the way, and today or tomorrow has no partition yet.
        case overdue
    }

    /// Arbitrary, but the same in every binary.
    private static let partitionLock: Int64 = 0x656E_7472_6C6F_6773
    /// Whoever comes while we wait for a table waits behind us, and pulls wait for their entries.
    private static let lockTimeout = "200ms"
    /// Of the default partition's old rows, how many go at once.
    private static let strayBatch = 10_000

    /// Makes the partitions of today and of so many days after it, and drops those whose days are all older than the
    /// retention. Safe to repeat, and to do in many processes at once. Waits for nobody
    /// who reads or writes the log for longer than a moment.
    @discardableResult
    package func keepPartitions(
        daysAhead: Int,
        retention: Duration,
        on client: PostgresClient
    ) async throws -> PartitionState {
        let wanted = try await client.query(
            """
            SELECT n, to_char(day, 'YYYYMMDD'), to_char(day, 'YYYY-MM-DD'), to_char(day + 1, 'YYYY-MM-DD')
            FROM generate_series(0, \(daysAhead)) AS n, LATERAL (SELECT (now() AT TIME ZONE 'UTC')::date + n::integer AS day) d
            WHERE to_regclass('log_entry_' || to_char(day, 'YYYYMMDD')) IS NULL ORDER BY day
            """
        ).decode((Int, String, String, String).self)
        for (daysAway, name, from, to) in wanted {
            let bounds = (from: "'\(from) 00:00+00'", to: "'\(to) 00:00+00'")
            let isDone = try await alone(client) {
                try await add("log_entry_" + name, bounds, isToday: daysAway == 0, on: $0)
            }
            guard isDone else { return daysAway <= 1 ? .overdue : .postponed }
        }
        let old = try await client.query(
            """
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'log_entry'::regclass AND c.relname ~ '^log_entry_[0-9]{8}$'
                AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1
                    <= (now() AT TIME ZONE 'UTC' - \(seconds: retention))::date
            """
        ).decode(String.self)
        for name in old {
            let isDone = try await alone(client) { try await $0.query("DROP TABLE IF EXISTS \(unescaped: name)") }
            guard isDone else { return .postponed }
        }
        try await client.query(
            """
            DELETE FROM log_entry_default WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM log_entry_default WHERE at < now() - \(seconds: retention) LIMIT \(Self.strayBatch)
            ))
            """
        )
        return .kept
    }

    /// Made aside and attached, which leaves alone whoever uses the other partitions; made in its place, it would lock all
    /// of them. Only the default one is locked, where nobody is but readers, and what comes before a day's partition is made.
    private func add(
        _ name: String,
        _ bounds: (from: String, to: String),
        isToday: Bool,
        on transaction: Connection
    ) async throws {
        // Read from the table: what the session has cached of names may be older than the wait for the lock.
        let made = try await transaction.query(
            """
            SELECT 1 FROM pg_class
            WHERE relname = \(name) AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'log_entry'::regclass)
            """
        )
        guard made.isEmpty else { return }
        // On a first start: an entry that is on its way to the default partition couldn't stay there.
        if isToday { try await transaction.query("LOCK TABLE ONLY log_entry IN ACCESS EXCLUSIVE MODE") }
        try await transaction.query("LOCK TABLE log_entry_default IN ACCESS EXCLUSIVE MODE")
        // A day that has entries there already keeps them there, and can't have a partition any more.
        let early = try await transaction.query(
            """
            SELECT 1 FROM log_entry_default WHERE at >= \(unescaped: bounds.from) AND at < \(unescaped: bounds.to) LIMIT 1
            """
        )
        guard early.isEmpty else { return }
        try await transaction.query("CREATE TABLE \(unescaped: name) (LIKE log_entry INCLUDING DEFAULTS)")
        try await transaction.query(
            """
            ALTER TABLE log_entry ATTACH PARTITION \(unescaped: name)
            FOR VALUES FROM (\(unescaped: bounds.from)) TO (\(unescaped: bounds.to))
            """
        )
    }

    /// Changes partitions in a transaction that nobody else does it in at the same time.
    /// - Returns: false when somebody was in the way: nothing was changed
    private func alone(_ client: PostgresClient, _ body: (Connection) async throws -> Void) async throws -> Bool {
        do {
            try await client.withTransaction { transaction in
                try await transaction.query("SELECT pg_advisory_xact_lock(\(Self.partitionLock))")
                try await transaction.query("SET LOCAL lock_timeout = \(unescaped: "'\(Self.lockTimeout)'")")
                try await body(transaction)
            }
            return true
        } catch let error as PostgresError where error.sqlState == .lockNotAvailable {
            return false
        }
    }
}
