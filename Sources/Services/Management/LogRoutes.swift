// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Metadata
import Models
import NIOCore
import OCI
import Postgres

/// The log, in the model's words.
struct LogRoutes: Sendable {
    let client: PostgresClient
    private let store = LogStore()
    private static let exportedAtOnce = 1_000

    init(client: PostgresClient) { self.client = client }

    /// Whose log.
    private enum Scope {
        case everything, organization, repository, caller
    }

    var operations: [Operation] {
        let places: [(String, String, Operation.Access, Scope)] = [
            ("organization/{orgname}", "Organization", .organization(.member), .organization),
            ("repository/{repository}", "Repository", .repository(.member), .repository),
            ("superuser", "All", .superuser, .everything), ("user", "Own", .account, .caller),
        ]
        return places.flatMap { path, name, access, scope in
            [
                Operation(
                    .get,
                    path + "/logs",
                    "list\(name)Logs",
                    "What happened, newest first.",
                    access,
                    query: Self.filters + [PageCursor.parameter, PageCursor.limit],
                    .ok([
                        Schema.has("start_time", .text()), Schema.has("end_time", .text()),
                        Schema.has("logs", .list(.object(Self.view))), PageCursor.member,
                    ])
                ) { call in try await list(call, scope) },
                Operation(
                    .get,
                    path + "/aggregatelogs",
                    "aggregate\(name)Logs",
                    "How often what happened, by day.",
                    access,
                    query: Self.filters,
                    .ok([
                        Schema.has(
                            "aggregated",
                            .list(
                                .object([
                                    Schema.has("kind", .text()), Schema.has("count", .natural),
                                    Schema.has("datetime", .text()),
                                ]),
                                maximum: 100_000
                            )
                        )
                    ])
                ) { call in try await aggregate(call, scope) },
                Operation(
                    .get,
                    path + "/exportlogs",
                    "export\(name)Logs",
                    "The same, newest first, as JSON lines or as CSV with a head.",
                    access,
                    query: Self.filters + [
                        Schema.may("format", .choice(["jsonl", "csv"]), "jsonl unless it is given."),
                        Schema.may("limit", .integer(1...1_000_000_000), "Lines; all unless it is given."),
                    ],
                    Operation.Success(
                        status: .ok,
                        schema: .anything,
                        mediaTypes: ["application/jsonl", "text/csv"]
                    )
                ) { call in try await export(call, scope) },
            ]
        }
    }

    private static let filters = [
        Schema.may("starttime", .text(1...64), "MM/DD/YYYY (UTC) or ISO 8601; a month ago unless it is given."),
        Schema.may("endtime", .text(1...64), "The last day, MM/DD/YYYY (UTC), or before when, ISO 8601."),
        Schema.may("performer", .text(1...511), "Name of an account."),
        Schema.may("kind", .choice(LogKind.allCases.map(\.rawValue))),
        Schema.may("outcome", .choice(PullOutcome.allCases.map(\.rawValue)), "Of pulls."),
    ]

    private static let view = [
        Schema.has("kind", .text()), Schema.has("datetime", .text()), Schema.has("ip", .nullable(.text())),
        Schema.has("metadata", .map(.anything)),
        Schema.may(
            "performer",
            .object([
                Schema.has("kind", .choice(["user"])), Schema.has("name", .text(0...511)),
                Schema.has("is_robot", .flag),
            ])
        ),
        Schema.may("namespace", .object([Schema.has("kind", .choice(["org"])), Schema.has("name", .text())])),
    ]

    private struct View: Encodable {
        struct Performer: Encodable {
            let kind = "user"
            let name: String
            let is_robot: Bool
        }

        struct Namespace: Encodable {
            let kind = "org"
            let name: String
        }

        let kind: String
        let datetime: String
        @Nullable var ip: String?
        let metadata: [String: JSON]
        let performer: Performer?
        let namespace: Namespace?

        init(_ record: LogRecord) {
            kind = record.kind
            datetime = APITime.text(record.at)
            ip = record.address
            metadata = LogRoutes.metadata(record)
            performer = record.account.map { Performer(name: $0, is_robot: record.isRobot ?? false) }
            namespace = record.organization.map(Namespace.init)
        }
    }

    private static func metadata(_ record: LogRecord) -> [String: JSON] {
        var facts = (record.metadata ?? [:]).mapValues(JSON.text)
        let texts = [
            "namespace": record.organization, "repo": record.repository, "user-agent": record.userAgent,
            "tag": record.tag, "manifest_digest": record.digest, "mediaType": record.mediaType,
            "username": record.account, "outcome": record.outcome, "upstream": record.upstream,
        ]
        for case (let name, let text?) in texts where facts[name] == nil { facts[name] = .text(text) }
        if let isHead = record.isHead { facts["is_head"] = .flag(isHead) }
        if let status = record.status { facts["status"] = .integer(Int64(status)) }
        if let bytes = record.bytes { facts["bytes"] = .integer(bytes) }
        if let duration = record.durationUs { facts["duration_us"] = .integer(duration) }
        return facts
    }

    private struct List: Encodable {
        let start_time: String
        let end_time: String
        let logs: [View]
        let next_page: String?
    }

    // MARK: - Operations

    private func filter(_ call: Call, _ scope: Scope) throws -> LogStore.Filter {
        var filter = LogStore.Filter()
        switch scope {
        case .everything: break
        case .organization: filter.organization = try call.organization.id
        case .repository:
            filter.organization = try call.organization.id
            filter.repository = try call.repository.rawValue
        case .caller: filter.account = try call.account.name.rawValue
        }
        let day: TimeInterval = 86_400
        if let text = call.query.text("starttime") { filter.since = try APITime.date(text, "starttime") }
        if let text = call.query.text("endtime") {
            let end = try APITime.date(text, "endtime")
            filter.until = text.contains("/") ? end.addingTimeInterval(day) : end
        }
        if filter.since == nil { filter.since = (filter.until ?? Date()).addingTimeInterval(-31 * day) }
        if scope == .caller {
            // Who had the name before is somebody else.
            filter.since = max(filter.since ?? .distantPast, Date(timeIntervalSince1970: try call.account.createdAt))
        }
        if let performer = call.query.text("performer") {
            guard scope != .caller || performer == filter.account else { throw APIError.forbidden }
            filter.account = performer
        }
        filter.kinds = call.query.text("kind").flatMap(LogKind.init).map { [$0] } ?? []
        filter.outcomes = call.query.text("outcome").flatMap(PullOutcome.init).map { [$0] } ?? []
        return filter
    }

    private func list(_ call: Call, _ scope: Scope) async throws -> Response {
        var filter = try filter(call, scope)
        let page = try Page(call, parts: 2)
        if let after = page.after {
            guard let at = Double(after[0]), APITime.known.contains(at), let id = Int64(after[1]) else {
                throw APIError.invalid("next_page: is none that a page has said")
            }
            filter.before = LogRecord.ID(at: at, id: id)
        }
        filter.limit = page.limit + 1
        let (shown, next) = try page.cut(try await store.read(filter, on: client)) { ["\($0.at)", "\($0.id)"] }
        return try APIReply.json(
            List(
                start_time: APITime.text(filter.since?.timeIntervalSince1970 ?? 0),
                end_time: APITime.text((filter.until ?? Date()).timeIntervalSince1970),
                logs: shown.map(View.init),
                next_page: next
            )
        )
    }

    private struct Count: Encodable {
        let kind: String
        let count: Int64
        let datetime: String
    }

    private func aggregate(_ call: Call, _ scope: Scope) async throws -> Response {
        let counts = try await store.counts(try filter(call, scope), on: client)
        return try APIReply.json([
            "aggregated": counts.map { Count(kind: $0.kind, count: $0.count, datetime: APITime.text($0.day)) }
        ])
    }

    private func export(_ call: Call, _ scope: Scope) async throws -> Response {
        let first = try filter(call, scope)
        let limit = call.query.integer("limit").map(Int.init) ?? .max
        let isCSV = call.query.text("format") == "csv"
        let body = ResponseBody { writer in
            var filter = first
            if isCSV { try await writer.write(ByteBuffer(string: LogLines.csvHead)) }
            var left = limit
            while left > 0 {
                filter.limit = min(left, Self.exportedAtOnce)
                let records = try await store.read(filter, on: client)
                guard let last = records.last else { break }
                left -= records.count
                let text = try records.map(isCSV ? LogLines.csv : LogLines.json).joined()
                try await writer.write(ByteBuffer(string: text))
                filter.before = last.place
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok,
            headers: [.contentType: isCSV ? "text/csv; charset=utf-8" : "application/jsonl"],
            body: body
        )
    }
}
