// SPDX-License-Identifier: Apache-2.0

import Logging
import Metadata
import Models
import Postgres
import ServiceLifecycle
import Upstream

/// Asks upstreams that are left alone whether they answer again, so that it isn't a client who finds out. Any number may
/// run; each probe goes to one.
struct UpstreamProber: Service {
    private static let interval: Duration = .milliseconds(500)

    let client: PostgresClient
    let upstream: UpstreamClient
    let governor: any UpstreamGovernor
    let logger: Logger
    private let store = UpstreamStore()

    init(client: PostgresClient, upstream: UpstreamClient, governor: any UpstreamGovernor, logger: Logger) {
        self.client = client
        self.upstream = upstream
        self.governor = governor
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            // One that takes long keeps no other from being sent.
            await withDiscardingTaskGroup { group in
                while !Task.isCancelled {
                    for baseURL in await due() { group.addTask { await probe(baseURL) } }
                    do { try await Task.sleep(for: Self.interval) } catch { break }
                }
            }
        }
    }

    private func due() async -> [String] {
        do { return try await store.takeDueProbes(on: client) } catch {
            if !(error is CancellationError) {
                logger.warning("probing upstreams failed", metadata: ["error": "\(error)"])
            }
            return []
        }
    }

    private func probe(_ baseURL: String) async {
        do {
            try await upstream.probe(baseURL)
            await governor.answered(baseURL, nil)
            logger.notice("upstream answers again", metadata: ["upstream": "\(baseURL)"])
        } catch let failure as FetchFailure {
            if CircuitRules.counts(failure) { return await governor.failed(baseURL, failure, isProbe: true) }
            // Nothing that the breaker is for: who asks next is told the cause.
            await governor.answered(baseURL, nil)
        } catch {
            // Cancelled by a shutdown: the next probe is due when this one's time is up.
            logger.debug("probe given up", metadata: ["upstream": "\(baseURL)", "error": "\(error)"])
        }
    }
}
