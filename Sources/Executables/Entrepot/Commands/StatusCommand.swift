// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import OCI
import Operations
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

    @OptionGroup var api: APIOptions

    func run() async throws {
        try await api.run { client in
            let targets: [WarmTarget]
            do { targets = try images.map(WarmTarget.init) } catch { throw SettingsError("\(error)") }
            guard targets.isEmpty else {
                var states: [ImageView] = []
                for target in targets { states.append(try await ImageView.find(target, client)) }
                Console.write(json ? try Command.json(["images": states]) : ImageView.table(states))
                guard states.allSatisfy({ $0.digest != nil }) else { throw ExitCode(1) }
                return
            }
            let status = try await client.get("superuser/status", as: StatusView.self)
            Console.write(json ? try Command.json(status) : status.text)
        }
    }
}

/// How much of an image is in the cache.
private struct ImageView: Encodable {
    let image: String
    /// Nil when it isn't cached.
    let digest: String?
    let state: String
    let presentBytes: Int64
    let totalBytes: Int64

    private struct Answer: Decodable {
        let manifestDigest: String?
        let digest: String?
        let state: String
        let cachedBytes: Int64
        let size: Int64
        let childManifestCount: Int?
        let presentChildCount: Int?
    }

    static func find(_ target: WarmTarget, _ client: APIClient) async throws -> ImageView {
        let repository = "\(target.organization)/\(target.repository)"
        let path =
            switch target.reference {
            case .tag(let tag): APIClient.path("repository", repository, "tag", tag.rawValue)
            case .digest(let digest): APIClient.path("repository", repository, "manifest", digest.description)
            }
        do {
            let found = try await client.get(path, as: Answer.self)
            var state = found.state
            if let listed = found.childManifestCount, let present = found.presentChildCount {
                state += " (\(present) of \(listed) images)"
            }
            return ImageView(
                image: target.description,
                digest: found.manifestDigest ?? found.digest,
                state: state,
                presentBytes: found.cachedBytes,
                totalBytes: found.size
            )
        } catch let failure as APIFailure where failure.exitCode == ExitCode(3) {
            return ImageView(
                image: target.description,
                digest: nil,
                state: "not cached",
                presentBytes: 0,
                totalBytes: 0
            )
        }
    }

    static func table(_ images: [ImageView]) -> String {
        TextTable.text(
            ["IMAGE", "STATE", "BYTES", "OF", "DIGEST"],
            images.map {
                [
                    $0.image, $0.state, Amount.bytes($0.presentBytes), Amount.bytes($0.totalBytes), $0.digest ?? "-",
                ]
            }
        )
    }
}

/// How an upstream is doing.
struct UpstreamView: Codable {
    let url: String
    /// `closed`, or `open` while it isn't asked.
    let breaker: String
    let openForS: Int
    let failuresInARow: Int
    let lastFailure: String?
    let rateLimitRemaining: Int?
    let rateLimit: Int?
    let maximumConnections: Int?
    let requestsPerS: Double?

    static func table(_ upstreams: [UpstreamView]) -> String {
        TextTable.text(
            ["UPSTREAM", "BREAKER", "FAILURES", "RATE LEFT", "LIMITS", "LAST FAILURE"],
            upstreams.map { upstream in
                let limits = [
                    upstream.maximumConnections.map { "\($0) connections" }, upstream.requestsPerS.map { "\($0)/s" },
                ].compactMap { $0 }
                let rate = upstream.rateLimitRemaining.map { left in
                    upstream.rateLimit.map { "\(left)/\($0)" } ?? "\(left)"
                }
                return [
                    upstream.url, upstream.breaker == "open" ? "open for \(upstream.openForS) s" : "closed",
                    "\(upstream.failuresInARow)", rate ?? "-", limits.isEmpty ? "-" : limits.joined(separator: ", "),
                    upstream.lastFailure ?? "-",
                ]
            }
        )
    }
}

/// The whole deployment.
private struct StatusView: Codable {
    struct Queue: Codable {
        let name: String
        let available: Int
        let running: Int
        let retryable: Int
        let discarded: Int
        let oldestDueS: Int?
    }

    struct Arrival: Codable {
        let digest: String
        let organization: String
        let repository: String
        let bytes: Int64
        let size: Int64
        let bytesPerS: Int64
    }

    struct Organization: Codable {
        let name: String
        let tags: Int
        let completeImages: Int
        let incompleteImages: Int
    }

    let upstreams: [UpstreamView]
    let queues: [Queue]
    let arriving: [Arrival]
    let organizations: [Organization]

    var text: String {
        [
            UpstreamView.table(upstreams),
            TextTable.text(
                ["QUEUE", "WAITING", "RUNNING", "RETRYING", "GIVEN UP", "OLDEST DUE"],
                queues.map {
                    [
                        $0.name, "\($0.available)", "\($0.running)", "\($0.retryable)", "\($0.discarded)",
                        $0.oldestDueS.map { "\($0) s" } ?? "-",
                    ]
                }
            ),
            TextTable.text(
                ["ARRIVING", "REPOSITORY", "BYTES", "OF", "PER SECOND"],
                arriving.map {
                    [
                        String($0.digest.prefix(19)), "\($0.organization)/\($0.repository)", "\($0.bytes)",
                        "\($0.size)", "\($0.bytesPerS)",
                    ]
                }
            ),
            TextTable.text(
                ["ORGANIZATION", "TAGS", "IMAGES COMPLETE", "INCOMPLETE"],
                organizations.map { [$0.name, "\($0.tags)", "\($0.completeImages)", "\($0.incompleteImages)"] }
            ),
        ].joined(separator: "\n\n")
    }
}
