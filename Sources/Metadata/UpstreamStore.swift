// SPDX-License-Identifier: Apache-2.0

package import Models
package import Postgres

/// What all fetchers together know of upstreams, by base URL: breakers, rate limits, and the limits that we keep.
package struct UpstreamStore: Sendable {
    package init() {}

    /// Nothing is known of an upstream that never failed and has no limit.
    package func condition(of baseURL: String, on db: some Queryable) async throws -> UpstreamCondition? {
        try await db.query(
            prepared: "SELECT \(unescaped: Self.columns) FROM upstream WHERE base_url = \(baseURL)"
        ).first.map(Self.condition)
    }

    package func conditions(on db: some Queryable) async throws -> [UpstreamCondition] {
        try await db.query("SELECT \(unescaped: Self.columns) FROM upstream ORDER BY base_url").map(Self.condition)
    }

    /// Counts a failure and opens the breaker when the rules say so.
    /// - Parameter isProbe: an open breaker was tried, and stays open
    /// - Returns: how long it is open now, if this failure opened it.
    @discardableResult
    package func note(
        _ failure: FetchFailure,
        of baseURL: String,
        isProbe: Bool = false,
        on client: PostgresClient
    ) async throws -> Duration? {
        guard CircuitRules.counts(failure) else { return nil }
        return try await client.withTransaction { transaction in
            let row = try await transaction.query(
                """
                INSERT INTO upstream AS u (base_url, failures, last_failure) VALUES (\(baseURL), 1, \(json: failure))
                ON CONFLICT (base_url) DO UPDATE SET failures = u.failures + 1, last_failure = excluded.last_failure
                RETURNING failures, openings
                """
            ).decodeFirst((Int, Int).self)
            guard let (failures, openings) = row,
                let opening = CircuitRules.opening(after: failure, failures: failures, openings: openings)
            else { return nil }
            // Failures of requests that were on their way when it opened don't make it any worse.
            let opened = try await transaction.execute(
                """
                UPDATE upstream SET open_until = now() + \(seconds: opening), openings = openings + 1
                WHERE base_url = \(baseURL) AND (open_until IS NULL OR open_until <= now() OR \(isProbe))
                """
            )
            return opened == 1 ? opening : nil
        }
    }

    /// Forgets what was held against the upstream.
    /// - Returns: whether there was anything.
    package func noteSuccess(of baseURL: String, on db: some Queryable) async throws -> Bool {
        try await db.execute(
            """
            UPDATE upstream SET failures = 0, openings = 0, open_until = NULL, last_failure = NULL
            WHERE base_url = \(baseURL) AND (failures > 0 OR open_until IS NOT NULL)
            """
        ) == 1
    }

    package func note(_ limit: RateLimit, of baseURL: String, on db: some Queryable) async throws {
        try await db.query(
            """
            INSERT INTO upstream (base_url, rate_limit, rate_remaining, rate_window_s, rate_seen_at)
            VALUES (\(baseURL), \(limit.limit), \(limit.remaining), \(limit.windowSeconds), now())
            ON CONFLICT (base_url) DO UPDATE
            SET rate_limit = excluded.rate_limit, rate_remaining = excluded.rate_remaining,
                rate_window_s = excluded.rate_window_s, rate_seen_at = excluded.rate_seen_at
            """
        )
    }

    /// Upstreams whose breaker may be tried now. Each is given to one caller, who has a while for its probe.
    package func takeDueProbes(on db: some Queryable) async throws -> [String] {
        try await db.query(
            """
            UPDATE upstream SET open_until = now() + \(seconds: CircuitRules.probePatience)
            WHERE base_url IN (
                SELECT base_url FROM upstream WHERE open_until <= now() LIMIT 10 FOR UPDATE SKIP LOCKED
            )
            RETURNING base_url
            """
        ).decode(String.self)
    }

    /// Sets the limits of an upstream; nil for none.
    package func setLimits(
        maximumConnections: Int?,
        requestsPerSecond: Double?,
        of baseURL: String,
        on db: some Queryable
    ) async throws {
        try await db.query(
            """
            INSERT INTO upstream (base_url, max_connections, requests_per_s)
            VALUES (\(baseURL), \(maximumConnections), \(requestsPerSecond))
            ON CONFLICT (base_url) DO UPDATE
            SET max_connections = excluded.max_connections, requests_per_s = excluded.requests_per_s
            """
        )
    }

    /// Takes the next place in the line of requests to a limited upstream.
    /// - Returns: how long to wait for it; zero where there is no limit.
    package func reserveRequest(to baseURL: String, on db: some Queryable) async throws -> Duration {
        let seconds = try await db.query(
            """
            UPDATE upstream
            SET next_request_at = greatest(next_request_at, now()) + interval '1 second' / requests_per_s
            WHERE base_url = \(baseURL) AND requests_per_s IS NOT NULL
            RETURNING greatest(0, extract(epoch FROM next_request_at - interval '1 second' / requests_per_s - now()))::float8
            """
        ).decodeFirst(Double.self)
        return .seconds(seconds ?? 0)
    }

    private static let columns = """
        base_url, failures, last_failure, greatest(0, extract(epoch FROM open_until - now()))::float8,
        rate_limit, rate_remaining, rate_window_s, extract(epoch FROM now() - rate_seen_at)::float8,
        max_connections, requests_per_s
        """

    private static func condition(_ row: Row) throws -> UpstreamCondition {
        let (
            baseURL, failures, failure, opensIn, limit, remaining, window, seenAgo, connections, requests
        ) = try row.decode((String, Int, String?, Double?, Int?, Int?, Int?, Double?, Int?, Double?).self)
        return UpstreamCondition(
            baseURL: baseURL,
            health: UpstreamHealth(
                failures: failures,
                lastFailure: try failure.map { try decoded($0, "last_failure") },
                opensIn: .seconds(opensIn ?? 0)
            ),
            rateLimit: remaining.map { RateLimit(limit: limit, remaining: $0, windowSeconds: window) },
            rateLimitAge: seenAgo.map { .seconds(max(0, $0)) },
            maximumConnections: connections,
            requestsPerSecond: requests
        )
    }
}
