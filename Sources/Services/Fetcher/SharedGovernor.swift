// SPDX-License-Identifier: Apache-2.0

import Jobs
package import Logging
import Metadata
package import Models
package import Postgres
package import PullThrough
import Synchronization
import Upstream

/// Knows of upstreams what all fetchers have learned, and tells them what this one learns.
///
/// Where the database fails to answer, requests go on: it is the upstream that is being protected, not a promise.
package final class SharedGovernor: UpstreamGovernor {
    /// How often a limit is written down that goes down with every request.
    private static let limitInterval: Duration = .seconds(1)
    /// How long an upstream is left alone that has told us that nothing is left.
    private static let exhaustedSeconds = 60

    private struct State {
        /// Upstreams that failed us and haven't answered since.
        var suspects: Set<String> = []
        var limitsWrittenAt: [String: ContinuousClock.Instant] = [:]
    }

    private let client: PostgresClient
    private let directory: UpstreamDirectory
    private let notifier: JobNotifier
    private let logger: Logger
    private let store = UpstreamStore()
    private let clock = ContinuousClock()
    private let state = Mutex(State())

    package init(client: PostgresClient, hub: ChangeHub, logger: Logger) {
        self.client = client
        self.directory = UpstreamDirectory(client: client, hub: hub)
        self.notifier = JobNotifier(client: client, logger: logger)
        self.logger = logger
    }

    package func admit(_ baseURL: String, isBlob: Bool) async throws {
        let condition: UpstreamCondition
        do {
            condition = try await directory.condition(of: baseURL)
        } catch let error as PostgresError {
            return logger.warning("condition unknown", metadata: ["upstream": "\(baseURL)", "error": "\(error)"])
        }
        if let refusal = condition.health.refusal, !(isBlob && refusal.isForeseen) { throw refusal }
        guard condition.requestsPerSecond != nil else { return }
        try await Task.sleep(for: try await store.reserveRequest(to: baseURL, on: client))
    }

    package func answered(_ baseURL: String, _ limit: RateLimit?) async {
        await attempt("success", baseURL) {
            let isSuspect = state.withLock { $0.suspects.contains(baseURL) }
            let failures = try await directory.condition(of: baseURL).health.failures
            if isSuspect || failures > 0 {
                state.withLock { _ = $0.suspects.remove(baseURL) }
                if try await store.noteSuccess(of: baseURL, on: client) { await tell(baseURL) }
            }
            if let limit { try await note(limit, of: baseURL) }
        }
    }

    package func failed(_ baseURL: String, _ failure: FetchFailure, isProbe: Bool) async {
        guard CircuitRules.counts(failure) else { return }
        state.withLock { _ = $0.suspects.insert(baseURL) }
        await attempt("failure", baseURL) {
            guard let opening = try await store.note(failure, of: baseURL, isProbe: isProbe, on: client) else { return }
            logger.warning(
                "upstream is left alone for a while",
                metadata: ["upstream": "\(baseURL)", "for": "\(opening)", "reason": "\(failure)"]
            )
            await tell(baseURL)
        }
    }

    private func note(_ limit: RateLimit, of baseURL: String) async throws {
        let now = clock.now
        let isDue = state.withLock { state in
            if let last = state.limitsWrittenAt[baseURL], now - last < Self.limitInterval, limit.remaining > 0 {
                return false
            }
            state.limitsWrittenAt[baseURL] = now
            return true
        }
        guard isDue else { return }
        try await store.note(limit, of: baseURL, on: client)
        guard limit.remaining == 0 else { return }
        let failure = FetchFailure(
            .rateLimited,
            "upstream \(baseURL) says that nothing is left of our rate limit",
            retryAfterSeconds: Self.exhaustedSeconds
        )
        if try await store.note(failure, of: baseURL, on: client) != nil { await tell(baseURL) }
    }

    private func tell(_ baseURL: String) async {
        directory.forget(baseURL)
        await notifier.notify(.upstreams, [baseURL])
    }

    private func attempt(_ what: String, _ baseURL: String, _ body: () async throws -> Void) async {
        do { try await body() } catch {
            logger.warning("\(what) not noted", metadata: ["upstream": "\(baseURL)", "error": "\(error)"])
        }
    }
}
