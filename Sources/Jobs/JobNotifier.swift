// SPDX-License-Identifier: Apache-2.0

package import Logging
package import Models
package import Postgres

/// Tells other processes to look at the database. Call it after the commit, never inside a transaction: a NOTIFY holds
/// a lock of the whole database until its transaction ends.
///
/// Notifications are hints; who misses one finds out by polling. While one is on its way others gather and go
/// out together.
package actor JobNotifier {
    package enum Channel: String, Sendable, CaseIterable {
        /// Payload: names of queues that have work.
        case jobs = "entrepot_job"
        /// Payload: ids of jobs that have ended.
        case finishedJobs = "entrepot_job_finished"
        /// Payload: digests of blobs that started to arrive, or are here.
        case blobs = "entrepot_blob"
        /// Payload: names of organizations whose settings changed.
        case organizations = "entrepot_organization"
        /// Payload: ids of accounts whose rights or credentials changed.
        case accounts = "entrepot_account"
        /// Payload: base URLs of upstreams whose condition changed.
        case upstreams = "entrepot_upstream"
        /// Payload: digests of manifests of which the scanner has told something.
        case scans = "entrepot_scan"
    }

    /// PostgreSQL refuses payloads of 8,000 bytes and more.
    private static let maximumPayloadBytes = 7_900

    private let client: PostgresClient
    private let logger: Logger
    private(set) var pending: [Channel: Set<String>] = [:]
    /// Sends what is pending, after what is on its way. Unstructured: it is for all who notify, and goes on when one of them
    /// is cancelled.
    private var next: Task<Void, Never>?
    private var last: Task<Void, Never>?

    package init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// Whether somebody's have been taken, and nobody's gather: what tests wait for.
    var hasTaken: Bool { next == nil && last != nil }

    /// Returns when it has been sent, or couldn't be.
    package func notify(_ channel: Channel, _ items: [String]) async {
        pending[channel, default: []].formUnion(items)
        await (next ?? begin()).value
    }

    private func begin() -> Task<Void, Never> {
        let before = last
        // Nobody's: it outlives whoever came first.
        let batch = Task {
            await before?.value
            await send()
        }
        (next, last) = (batch, batch)
        return batch
    }

    private func send() async {
        let batch = pending
        (next, pending) = (nil, [:])
        for (channel, items) in batch {
            for payload in Self.payloads(items) {
                do {
                    try await client.query(prepared: "SELECT pg_notify(\(channel.rawValue), \(payload))")
                } catch {
                    logger.debug("notification not sent", metadata: ["error": "\(error)"])
                }
            }
        }
    }

    package func jobsAvailable(_ queue: JobQueueName) async { await notify(.jobs, [queue.rawValue]) }

    package func jobsFinished(_ jobs: [JobID]) async { await notify(.finishedJobs, jobs.map(\.description)) }

    /// Items of a payload as receivers split it.
    package static func items(_ payload: String) -> [String] {
        payload.split(separator: ",").map(String.init)
    }

    private static func payloads(_ items: Set<String>) -> [String] {
        var payloads: [String] = []
        for item in items {
            if let last = payloads.last, last.utf8.count + 1 + item.utf8.count <= maximumPayloadBytes {
                payloads[payloads.count - 1] = last + "," + item
            } else {
                payloads.append(item)
            }
        }
        return payloads
    }
}
