// SPDX-License-Identifier: Apache-2.0

package import Logging
import Metadata
package import Models
package import Postgres
import ServiceLifecycle
import Synchronization

/// Counts traffic in memory and adds it to the database every few seconds. What a killed process hasn't added is lost: these
/// are statistics, and the log is what is exact.
package final class TrafficCounter: Service {
    private static let interval: Duration = .seconds(2)

    private let client: PostgresClient
    private let logger: Logger
    private let store = TrafficStore()
    private let pending = Mutex<[OrganizationID: Traffic]>([:])

    package init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// Counts one pull of a manifest.
    package func manifest(_ outcome: PullOutcome, bytes: Int64, of organization: OrganizationID) {
        add(to: organization) { traffic in
            traffic.count(outcome)
            traffic.servedBytes += bytes
        }
    }

    /// Counts one response with bytes of a blob.
    package func blob(bytes: Int64, of organization: OrganizationID) {
        add(to: organization) { traffic in
            traffic.blobPulls += 1
            traffic.servedBytes += bytes
        }
    }

    /// Counts what upstream was asked, and what it sent.
    package func upstream(requests: Int64 = 0, bytes: Int64 = 0, for organization: OrganizationID) {
        add(to: organization) { traffic in
            traffic.upstreamRequests += requests
            traffic.upstreamBytes += bytes
        }
    }

    private func add(to organization: OrganizationID, _ change: (inout Traffic) -> Void) {
        pending.withLock { change(&$0[organization, default: Traffic()]) }
    }

    /// Writes until a shutdown, and once more then.
    package func run() async throws {
        await cancelWhenGracefulShutdown { await self.write() }
    }

    /// Writes until cancelled, and once more then: for what goes on being counted after a shutdown has begun.
    package func write() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: Self.interval) } catch { break }
            await flush()
        }
        // Shielded from the cancellation: what was counted last is written, too.
        await Task { await flush() }.value
    }

    private func flush() async {
        let batch = pending.withLock { pending in
            let batch = pending
            pending = [:]
            return batch
        }
        do { try await store.add(batch, on: client) } catch {
            if !(error is CancellationError) {
                logger.warning("traffic not counted yet", metadata: ["error": "\(error)"])
            }
            pending.withLock { $0.merge(batch) { left, right in left.adding(right) } }
        }
    }
}
