// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Operations
import ServiceRuntime

/// What happened.
struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Show pulls, failed logins and changes, newest first."
    )

    @Argument(help: "Only of this organization.")
    var organization: String?

    @Option(help: "Only of this repository of the organization.")
    var repository: String?

    @Option(help: "Only of this kind, such as pull_repo or login_failure.")
    var kind: String?

    @Option(help: "Only pulls that went so: hit, revalidated, miss, stale, error.")
    var outcome: String?

    @Option(help: "Only of this account.")
    var account: String?

    @Option(help: "Not before this time, as in 2026-11-25T08:00:00Z; a month ago if it isn't given.")
    var since: String?

    @Option(help: "Before this time.")
    var until: String?

    @Option(help: "How many.")
    var limit = 100

    @Flag(help: "A JSON object on each line in place of a table.")
    var json = false

    @Flag(help: "Comma-separated values with a header line in place of a table.")
    var csv = false

    @OptionGroup var api: APIOptions

    private struct Line: Decodable {
        let at: Double
        let kind: String
        let organization: String?
        let repository: String?
        let account: String?
        let address: String?
        let tag: String?
        let digest: String?
        let isHead: Bool?
        let outcome: String?
        let bytes: Int64?
        let durationUs: Int64?
        let metadata: [String: String]?

        var row: [String] {
            let name = [organization, repository].compactMap { $0 }.joined(separator: "/")
            let what = tag.map { "\(name):\($0)" } ?? digest.map { "\(name)@\($0.prefix(19))" } ?? name
            let facts = metadata?.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let result = outcome.map { $0 + (isHead == true ? " (HEAD)" : "") }
            return [
                Date(timeIntervalSince1970: at).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)),
                kind, account ?? "-", address ?? "-", what, result ?? facts?.joined(separator: " ") ?? "-",
                bytes.map(Amount.bytes) ?? "-", durationUs.map { "\(Double($0 / 100) / 10) ms" } ?? "-",
            ]
        }
    }

    func run() async throws {
        try await api.run { client in
            guard !(json && csv) else { throw SettingsError("--json and --csv exclude each other") }
            guard (1...10_000_000).contains(limit) else {
                throw SettingsError("--limit \(limit): expected a number from 1")
            }
            let query = [
                "format": csv ? "csv" : "jsonl", "limit": "\(limit)", "kind": kind, "outcome": outcome,
                "performer": account, "starttime": since, "endtime": until,
            ]
            var whole: [UInt8] = []
            try await client.stream(try path(), query) { chunk in
                if json || csv { Console.write(bytes: chunk) } else { whole += chunk }
            }
            guard !json, !csv else { return }
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let lines = try whole.split(separator: UInt8(ascii: "\n")).map {
                try decoder.decode(Line.self, from: Data($0))
            }
            Console.write(
                TextTable.text(
                    ["AT", "KIND", "WHO", "FROM", "WHAT", "OUTCOME", "BYTES", "TOOK"],
                    lines.map(\.row)
                )
            )
        }
    }

    private func path() throws -> String {
        switch (organization, repository) {
        case (nil, nil): return "superuser/exportlogs"
        case (let organization?, nil): return APIClient.path("organization", organization, "exportlogs")
        case (let organization?, let repository?):
            return APIClient.path("repository", "\(organization)/\(repository)", "exportlogs")
        case (nil, _?): throw SettingsError("--repository needs an organization before it")
        }
    }
}
