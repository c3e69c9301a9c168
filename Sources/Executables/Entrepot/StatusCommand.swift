// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Jobs
import Metadata
import Models
import OCI
import Postgres
import ServiceRuntime

/// What is going on, for people and for programs.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show upstreams, queues, what is arriving, and what organizations have."
    )

    @Flag(help: "One JSON object in place of tables.")
    var json = false

    @OptionGroup var database: DatabaseOptions

    func run() async throws {
        try await Command.run(name: "status", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
            try await database.withClient(runtime) { client in
                let status = try await StatusReport(client)
                print(json ? try status.json() : status.text)
            }
        }
    }
}

/// One look at the database.
struct StatusReport: Encodable {
    struct Upstream: Encodable {
        let url: String
        /// `closed`, or `open` while it isn't asked.
        let breaker: String
        let openForSeconds: Int
        let failuresInARow: Int
        let lastFailure: String?
        let rateLimitRemaining: Int?
        let rateLimit: Int?
        let maximumConnections: Int?
        let requestsPerSecond: Double?
    }

    struct Queue: Encodable {
        let name: String
        let available: Int
        let running: Int
        let retryable: Int
        let discarded: Int
        let oldestDueSeconds: Int?
    }

    struct Arrival: Encodable {
        let digest: String
        let repository: String
        let bytes: Int64
        let sizeBytes: Int64
        let bytesPerSecond: Int64
    }

    struct Organization: Encodable {
        let name: String
        let tags: Int
        let completeImages: Int
        let incompleteImages: Int
    }

    let upstreams: [Upstream]
    let queues: [Queue]
    let arriving: [Arrival]
    let organizations: [Organization]

    init(_ client: PostgresClient) async throws {
        upstreams = try await UpstreamStore().conditions(on: client).map { condition in
            Upstream(
                url: condition.baseURL,
                breaker: condition.health.isOpen ? "open" : "closed",
                openForSeconds: Int(condition.health.opensIn.components.seconds),
                failuresInARow: condition.health.failures,
                lastFailure: condition.health.lastFailure?.message,
                rateLimitRemaining: condition.rateLimit?.remaining,
                rateLimit: condition.rateLimit?.limit,
                maximumConnections: condition.maximumConnections,
                requestsPerSecond: condition.requestsPerSecond
            )
        }
        queues = try await JobQueue().summaries(on: client).map { queue in
            Queue(
                name: queue.queue.rawValue,
                available: queue.available,
                running: queue.running,
                retryable: queue.retryable,
                discarded: queue.discarded,
                oldestDueSeconds: queue.oldestDue.map { Int($0.components.seconds) }
            )
        }
        arriving = try await ActivityStore().arriving(on: client).map { blob in
            Arrival(
                digest: blob.digest.description,
                repository: "\(blob.organization)/\(blob.repository)",
                bytes: blob.arrival.storedBytes,
                sizeBytes: blob.sizeBytes,
                bytesPerSecond: blob.arrival.bytesPerSecond
            )
        }
        organizations = try await ImageStateStore().summaries(on: client).map {
            Organization(
                name: $0.name.rawValue,
                tags: $0.tags,
                completeImages: $0.completeImages,
                incompleteImages: $0.incompleteImages
            )
        }
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var text: String {
        var lines = TextTable.lines(
            ["UPSTREAM", "BREAKER", "FAILURES", "RATE LEFT", "LIMITS", "LAST FAILURE"],
            upstreams.map { upstream in
                let limits = [
                    upstream.maximumConnections.map { "\($0) connections" },
                    upstream.requestsPerSecond.map { "\($0)/s" },
                ].compactMap { $0 }
                let rate = upstream.rateLimitRemaining.map { left in
                    upstream.rateLimit.map { "\(left)/\($0)" } ?? "\(left)"
                }
                return [
                    upstream.url, upstream.breaker == "open" ? "open for \(upstream.openForSeconds) s" : "closed",
                    "\(upstream.failuresInARow)", rate ?? "-", limits.isEmpty ? "-" : limits.joined(separator: ", "),
                    upstream.lastFailure ?? "-",
                ]
            }
        )
        lines += [""]
        lines += TextTable.lines(
            ["QUEUE", "WAITING", "RUNNING", "RETRYING", "GIVEN UP", "OLDEST DUE"],
            queues.map {
                [
                    $0.name, "\($0.available)", "\($0.running)", "\($0.retryable)", "\($0.discarded)",
                    $0.oldestDueSeconds.map { "\($0) s" } ?? "-",
                ]
            }
        )
        lines += [""]
        lines += TextTable.lines(
            ["ARRIVING", "REPOSITORY", "BYTES", "OF", "PER SECOND"],
            arriving.map {
                [String($0.digest.prefix(19)), $0.repository, "\($0.bytes)", "\($0.sizeBytes)", "\($0.bytesPerSecond)"]
            }
        )
        lines += [""]
        lines += TextTable.lines(
            ["ORGANIZATION", "TAGS", "IMAGES COMPLETE", "INCOMPLETE"],
            organizations.map { [$0.name, "\($0.tags)", "\($0.completeImages)", "\($0.incompleteImages)"] }
        )
        return lines.joined(separator: "\n")
    }
}

/// Columns as wide as their widest cell.
enum TextTable {
    static func lines(_ head: [String], _ rows: [[String]]) -> [String] {
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        return ([head] + rows).map { row in
            let cells = row.indices.map { column in
                row[column] + String(repeating: " ", count: widths[column] - row[column].count)
            }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }
}
