// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Metadata
import Models
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

    @Option(name: .customLong("kind"), help: "Only of this kind, such as pull_repo or login_failure. Repeatable.")
    var kinds: [String] = []

    @Option(
        name: .customLong("outcome"),
        help: "Only pulls that went so: hit, revalidated, miss, stale, error. Repeatable."
    )
    var outcomes: [String] = []

    @Option(help: "Only of this account.")
    var account: String?

    @Option(help: "Not before this time, as in 2026-11-25T08:00:00Z.")
    var since: String?

    @Option(help: "Before this time.")
    var until: String?

    @Option(help: "How many.")
    var limit = 100

    @Flag(help: "A JSON object on each line in place of a table.")
    var json = false

    @Flag(help: "Comma-separated values with a header line in place of a table.")
    var csv = false

    @OptionGroup var database: DatabaseOptions

    /// Rows that are read at once.
    private static let pageSize = 1_000

    func run() async throws {
        try await Command.run(name: "logs", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
            var filter = try filter()
            try await database.withClient(runtime) { client in
                if let organization {
                    filter.organization = try await DatabaseOptions.organization(organization, on: client).id
                }
                var left = limit
                var table: [LogRecord] = []
                if csv { Console.write(LogLines.csvHeader) }
                while left > 0 {
                    filter.limit = min(left, Self.pageSize)
                    let page = try await LogStore().read(filter, on: client)
                    for record in page {
                        if json {
                            Console.write(try LogLines.json(record))
                        } else if csv {
                            Console.write(LogLines.csv(record))
                        }
                    }
                    if !json, !csv { table += page }
                    left -= page.count
                    guard page.count == filter.limit, let last = page.last else { break }
                    filter.before = last.place
                }
                if !json, !csv { Console.write(LogLines.table(table)) }
            }
        }
    }

    private func filter() throws -> LogStore.Filter {
        guard !(json && csv) else { throw SettingsError("--json and --csv exclude each other") }
        guard (1...10_000_000).contains(limit) else {
            throw SettingsError("--limit \(limit): expected a number from 1")
        }
        var filter = LogStore.Filter()
        filter.repository = repository
        filter.account = account
        filter.kinds = try kinds.map { text in
            guard let kind = LogKind(rawValue: text) else {
                let known = LogKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw SettingsError("--kind \(text): expected one of \(known)")
            }
            return kind
        }
        filter.outcomes = try outcomes.map { text in
            guard let outcome = PullOutcome(rawValue: text) else {
                let known = PullOutcome.allCases.map(\.rawValue).joined(separator: ", ")
                throw SettingsError("--outcome \(text): expected one of \(known)")
            }
            return outcome
        }
        filter.since = try since.map { try Self.time($0, "--since") }
        filter.until = try until.map { try Self.time($0, "--until") }
        return filter
    }

    private static func time(_ text: String, _ option: String) throws -> Date {
        do { return try Date(text, strategy: .iso8601) } catch {
            throw SettingsError("\(option) \(text): expected a time as in 2026-11-25T08:00:00Z")
        }
    }
}

/// Lines of the log for people and for programs (pure).
enum LogLines {
    static let csvHeader =
        "at,kind,organization,repository,tag,digest,outcome,status,bytes,duration_us,account,address"
        + ",user_agent,head,upstream,metadata"

    static func json(_ record: LogRecord) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(record), as: UTF8.self)
    }

    static func csv(_ record: LogRecord) -> String {
        let metadata = record.metadata?.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(
            separator: " "
        )
        let fields: [String?] = [
            time(record), record.kind, record.organization, record.repository, record.tag, record.digest,
            record.outcome, record.status.map(String.init), record.bytes.map(String.init),
            record.durationUs.map(String.init), record.account, record.address, record.userAgent,
            record.isHead.map(String.init), record.upstream, metadata,
        ]
        return fields.map { quoted($0 ?? "") }.joined(separator: ",")
    }

    static func table(_ records: [LogRecord]) -> String {
        TextTable.lines(
            ["AT", "KIND", "WHO", "FROM", "WHAT", "OUTCOME", "BYTES", "TOOK"],
            records.map { record in
                let name = [record.organization, record.repository].compactMap { $0 }.joined(separator: "/")
                let what =
                    record.tag.map { "\(name):\($0)" } ?? record.digest.map { "\(name)@\($0.prefix(19))" } ?? name
                let facts = record.metadata?.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                let outcome = record.outcome.map { ($0) + (record.isHead == true ? " (HEAD)" : "") }
                return [
                    time(record), record.kind, record.account ?? "-", record.address ?? "-", what,
                    outcome ?? facts?.joined(separator: " ") ?? "-", record.bytes.map(Amount.bytes) ?? "-",
                    record.durationUs.map { "\(Double($0 / 100) / 10) ms" } ?? "-",
                ]
            }
        ).joined(separator: "\n")
    }

    private static func time(_ record: LogRecord) -> String {
        Date(timeIntervalSince1970: record.at).formatted(.iso8601.time(includingFractionalSeconds: true))
    }

    /// RFC 4180; a field that a spreadsheet would run is made text.
    private static func quoted(_ field: String) -> String {
        let safe = field.first.map { "=+-@\t\r".contains($0) } == true ? "'" + field : field
        guard safe.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return safe }
        return "\"" + safe.replacing("\"", with: "\"\"") + "\""
    }
}
