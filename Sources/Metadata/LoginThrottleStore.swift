// SPDX-License-Identifier: Apache-2.0

import Models
package import Postgres

/// Failed logins, counted by all frontends together.
package struct LoginThrottleStore: Sendable {
    package init() {}

    /// How long the longest of the keys' blocks still lasts; zero for none.
    package func block(of keys: [String], on db: some Queryable) async throws -> Duration {
        let seconds = try await db.query(
            """
            SELECT coalesce(extract(epoch FROM max(blocked_until) - now()), 0)::float8 FROM login_throttle
            WHERE key = ANY(\(keys)::text[]) AND blocked_until > now()
            """
        ).decodeFirst(Double.self)
        return .seconds(max(0, seconds ?? 0))
    }

    /// Counts an attempt of each key that isn't blocked as failed, until it is taken back. Old failures are forgotten first.
    /// When the last one was is left as it is: attempts that are right don't keep the others alive.
    /// - Returns: failures in a row, by key; nothing of a key that is blocked
    package func count(_ keys: [String], on db: some Queryable) async throws -> [String: Int] {
        let rows = try await db.query(
            """
            INSERT INTO login_throttle (key, failures)
            -- in order: two that count the same keys would otherwise wait for each other
            SELECT key, 1 FROM unnest(\(keys)::text[]) AS key ORDER BY key
            ON CONFLICT (key) DO UPDATE SET
                failures = CASE WHEN login_throttle.last_failed_at < now() - \(seconds: ThrottleRules.memory)
                    THEN 1 ELSE login_throttle.failures + 1 END,
                last_failed_at = CASE WHEN login_throttle.last_failed_at < now() - \(seconds: ThrottleRules.memory)
                    THEN now() ELSE login_throttle.last_failed_at END
            WHERE login_throttle.blocked_until <= now()
            RETURNING key, failures
            """
        ).decode((String, Int).self)
        return Dictionary(rows) { $1 }
    }

    /// Says of a counted attempt that it has failed now, and blocks the key for so long, if at all.
    package func fail(_ key: String, block: Duration, on db: some Queryable) async throws {
        try await db.query(
            """
            UPDATE login_throttle SET last_failed_at = now(),
                blocked_until = CASE WHEN \(block > .zero) THEN greatest(blocked_until, now() + \(seconds: block))
                    ELSE blocked_until END
            WHERE key = \(key)
            """
        )
    }

    /// Says of a counted attempt that it was right. A block stays: it is another one's.
    package func takeBack(_ key: String, on db: some Queryable) async throws {
        try await db.query("UPDATE login_throttle SET failures = greatest(0, failures - 1) WHERE key = \(key)")
    }

    /// Blocks a counted key for so long from now on, whatever its block was.
    package func setBlock(_ duration: Duration, of key: String, on db: some Queryable) async throws {
        try await db.query(
            "UPDATE login_throttle SET blocked_until = now() + \(seconds: duration) WHERE key = \(key)"
        )
    }

    package func forget(_ key: String, on db: some Queryable) async throws {
        try await db.query("DELETE FROM login_throttle WHERE key = \(key)")
    }

    /// Removes what is forgotten anyhow.
    package func sweep(on db: some Queryable) async throws {
        try await db.query(
            """
            DELETE FROM login_throttle WHERE key IN (
                SELECT key FROM login_throttle
                WHERE last_failed_at < now() - \(seconds: ThrottleRules.memory) AND blocked_until < now()
                LIMIT 1000
            )
            """
        )
    }
}
