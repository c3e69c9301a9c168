// SPDX-License-Identifier: Apache-2.0

/// What all fetchers together know of an upstream's condition: its circuit breaker.
package struct UpstreamHealth: Sendable, Hashable {
    /// Failures in a row.
    package let failures: Int
    /// The last failure, while there are any.
    package let lastFailure: FetchFailure?
    /// While this is positive the breaker is open: upstream isn't asked.
    package let opensIn: Duration

    package init(failures: Int, lastFailure: FetchFailure?, opensIn: Duration) {
        self.failures = failures
        self.lastFailure = lastFailure
        self.opensIn = opensIn
    }

    /// Nothing is known against it.
    package static let closed = UpstreamHealth(failures: 0, lastFailure: nil, opensIn: .zero)

    package var isOpen: Bool { opensIn > .zero }

    /// What a request that must not be sent fails with: the failure that opened the breaker. Nil while it is closed.
    package var refusal: FetchFailure? {
        guard isOpen, let lastFailure else { return nil }
        let seconds = Int(opensIn.components.seconds) + (opensIn.components.attoseconds > 0 ? 1 : 0)
        return FetchFailure(
            lastFailure.cause,
            "\(lastFailure.message) (not asked again for \(seconds) s)",
            retryAfterSeconds: seconds,
            upstreamStatus: lastFailure.upstreamStatus
        )
    }
}

/// All that is known of one upstream.
package struct UpstreamCondition: Sendable, Hashable {
    package let baseURL: String
    package let health: UpstreamHealth
    /// What it last said of its limit.
    package let rateLimit: RateLimit?
    /// How long ago it said so.
    package let rateLimitAge: Duration?
    /// Requests at once, and per second, that an operator allows us; nil for as many as we like.
    package let maximumConnections: Int?
    package let requestsPerSecond: Double?

    package init(
        baseURL: String,
        health: UpstreamHealth,
        rateLimit: RateLimit? = nil,
        rateLimitAge: Duration? = nil,
        maximumConnections: Int? = nil,
        requestsPerSecond: Double? = nil
    ) {
        self.baseURL = baseURL
        self.health = health
        self.rateLimit = rateLimit
        self.rateLimitAge = rateLimitAge
        self.maximumConnections = maximumConnections
        self.requestsPerSecond = requestsPerSecond
    }
}

/// When a circuit breaker opens, and for how long (pure).
package enum CircuitRules {
    /// Failures in a row that open it.
    package static let threshold = 5
    private static let shortestOpening: Duration = .seconds(5)
    private static let longestOpening: Duration = .seconds(60)
    /// What an upstream that limits us gets when it doesn't say how long.
    private static let defaultLimitedOpening: Duration = .seconds(30)
    /// An upstream may ask for a day; it is probed now and then all the same.
    private static let longestRetryAfter: Duration = .seconds(3_600)
    /// How long a probe may take.
    package static let probeDeadline: Duration = .seconds(10)
    /// After how long another one is sent: the breaker stays open until the first one's answer is written down.
    package static let probePatience: Duration = .seconds(15)

    /// Whether a failure speaks of the upstream as a whole, and not of one object or of our rights to it.
    package static func counts(_ failure: FetchFailure) -> Bool {
        switch failure.cause {
        case .upstreamError, .unreachable, .timeout, .rateLimited: true
        case .notFound, .denied, .badContent, .unsupported, .refusedAddress, .quotaExceeded, .cache: false
        }
    }

    /// How long the breaker stays open after this failure; nil when it stays closed.
    /// - Parameters:
    ///   - failures: failures in a row, this one included
    ///   - openings: how often it has opened since the last success
    package static func opening(after failure: FetchFailure, failures: Int, openings: Int) -> Duration? {
        guard counts(failure) else { return nil }
        // Upstream's own word counts at once.
        if let seconds = failure.retryAfterSeconds, seconds > 0 {
            return min(.seconds(seconds), longestRetryAfter)
        }
        if failure.cause == .rateLimited { return defaultLimitedOpening }
        guard failures >= threshold else { return nil }
        return min(longestOpening, shortestOpening * (1 << min(openings, 10)))
    }
}

/// What an upstream says of its limit (`RateLimit-Limit: 100;w=21600`, `RateLimit-Remaining: 76;w=21600`).
package struct RateLimit: Sendable, Hashable, Codable {
    /// Requests per window; nil when only the rest was told.
    package let limit: Int?
    package let remaining: Int
    package let windowSeconds: Int?

    package init(limit: Int?, remaining: Int, windowSeconds: Int?) {
        self.limit = limit
        self.remaining = remaining
        self.windowSeconds = windowSeconds
    }

    /// Reads the two header values. Nil without a remaining count.
    package init?(limit: String?, remaining: String?) {
        guard let remaining, let rest = Self.parse(remaining) else { return nil }
        let whole = limit.flatMap(Self.parse)
        self.init(limit: whole?.count, remaining: rest.count, windowSeconds: rest.window ?? whole?.window)
    }

    private static func parse(_ text: String) -> (count: Int, window: Int?)? {
        let parts = text.split(separator: ";").map { $0.drop { $0 == " " } }
        guard let first = parts.first, let count = Int(first), count >= 0 else { return nil }
        let window = parts.dropFirst().first { $0.hasPrefix("w=") }.flatMap { Int($0.dropFirst(2)) }
        return (count, window)
    }
}
