// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Jobs
import Metadata
import Models
import OCI
import Operations
import Postgres
import ServiceRuntime

/// What is going on, for people and for programs.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show upstreams, queues, what is arriving, and what organizations have; or the state of images."
    )

    @Argument(help: ArgumentHelp("Show only these images.", valueName: "ORG/IMAGE[:TAG][@DIGEST]"))
    var images: [String] = []

    @Flag(help: "One JSON object in place of tables.")
    var json = false

    @OptionGroup var database: DatabaseOptions

    func run() async throws {
        try await Command.run(name: "status", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
            let targets: [WarmTarget]
            do { targets = try images.map(WarmTarget.init) } catch { throw SettingsError("\(error)") }
            try await database.withClient(runtime) { client in
                guard targets.isEmpty else {
                    let states = try await ImageStatus.find(targets, on: client)
                    Console.write(json ? try Command.json(["images": states]) : Self.table(states))
                    guard states.allSatisfy(\.isCached) else { throw ExitCode(1) }
                    return
                }
                let status = try await StatusReport(client)
                Console.write(json ? try Command.json(status) : status.text)
            }
        }
    }

    private static func table(_ images: [ImageStatus]) -> String {
        TextTable.lines(
            ["IMAGE", "STATE", "BYTES", "OF", "DIGEST"],
            images.map { image in
                [
                    image.image, image.state, Amount.bytes(image.presentBytes), Amount.bytes(image.totalBytes),
                    image.digest ?? "-",
                ]
            }
        ).joined(separator: "\n")
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
