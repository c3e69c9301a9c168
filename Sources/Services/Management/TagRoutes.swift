// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Metadata
import Models
import OCI
import Postgres

/// Tags: what they name, how long, and what they named before.
struct TagRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let timeMachine: Duration
    private let store = TagStore()
    private let lifetimes = LifetimeStore()
    private let reports = ScanReportStore()
    private let repositories = RepositoryStore()

    init(client: PostgresClient, access: OrganizationAccess, timeMachine: Duration) {
        self.client = client
        self.access = access
        self.timeMachine = timeMachine
    }

    private static let path = "repository/{repository}/tag"

    var operations: [Operation] {
        [
            Operation(
                .get,
                Self.path,
                "listTags",
                "Lifetimes of tags by name, the newest of each name first.",
                .pull,
                query: [
                    Schema.may("specificTag", .text(1...128), "Only this tag."),
                    Schema.may(
                        "filter_tag_name",
                        .text(1...128),
                        "Only names with this text (like:TEXT), or this one (eq:)."
                    ),
                    Schema.may("onlyActiveTags", .flag, "Without what has ended; false unless it is given."),
                    Schema.may("page", .integer(1...1_000_000), "The model's way to page: from 1."),
                    PageCursor.parameter, PageCursor.limit,
                ],
                .ok([
                    Schema.has("tags", .list(.object(Self.view))), Schema.has("page", .natural),
                    Schema.has("has_additional", .flag), PageCursor.member,
                ]),
                list
            ),
            Operation(
                .get,
                Self.path + "/{tag}",
                "getTag",
                "A live tag.",
                .pull,
                .ok(Self.view)
            ) { call in try APIReply.json(try await views([live(call)], call)[0]) },
            Operation(
                .get,
                Self.path + "/{tag}/history",
                "getTagHistory",
                "All lifetimes of a tag, newest first.",
                .pull,
                query: [PageCursor.parameter, PageCursor.limit],
                .ok([Schema.has("tags", .list(.object(Self.view))), PageCursor.member]),
                history
            ),
            Operation(
                .put,
                Self.path + "/{tag}",
                "changeTag",
                "Give a tag an expiration of its own until its next pull, or pin it.",
                .repository(.admin),
                body: [
                    Schema.may(
                        "expiration",
                        .nullable(.integer(0...253_402_300_799)),
                        "Seconds since 1970, in the future; null: never."
                    ),
                    Schema.may("pinned", .flag, "Whether it is kept from being pruned, whatever it names."),
                ],
                .says("Updated", .created),
                change
            ),
            Operation(
                .delete,
                Self.path + "/{tag}",
                "deleteTag",
                "End a tag; the time machine remembers it for a while.",
                .repository(.admin),
                .noContent,
                delete
            ),
            Operation(
                .post,
                Self.path + "/{tag}/restore",
                "restoreTag",
                "Make a tag name again what it named in a lifetime that the time machine remembers.",
                .repository(.admin),
                body: [Schema.may("manifest_digest", .text(1...200), "What it named last unless it is given.")],
                .ok([Schema.has("name", .text()), Schema.has("manifest_digest", .text())]),
                restore
            ),
        ]
    }

    private static let security = [
        Schema.has("status", .text()), Schema.has("counts", .map(.natural), "Findings by severity."),
        Schema.has("fixable", .natural, "Those that a newer version ends."),
    ]

    private struct Security: Encodable {
        let status: String
        let counts: [String: Int]
        let fixable: Int

        init(_ line: ScanLine) {
            status = line.publicStatus
            counts = Dictionary(
                uniqueKeysWithValues: Severity.allCases.map { ($0.name, line.summary?.count($0) ?? 0) }
            ).filter { $0.value > 0 }
            fixable = line.summary?.totalFixable ?? 0
        }
    }

    private static let view = [
        Schema.has("name", .text()), Schema.has("manifest_digest", .text()), Schema.has("is_manifest_list", .flag),
        Schema.has("size", .natural, "Compressed bytes of all blobs."), Schema.has("cached_bytes", .natural),
        Schema.has("reversion", .flag), Schema.has("start_ts", .natural), Schema.may("end_ts", .natural),
        Schema.has("last_modified", .text()), Schema.may("expiration", .text()), Schema.may("last_pulled", .text()),
        Schema.has("last_checked", .text(), "When upstream last confirmed it."),
        Schema.has("state", .text(), "complete, or fetching n/m; of what has ended moved, expired, deleted or pruned."),
        Schema.has("pinned", .flag),
        Schema.may("security", .object(Self.security), "What the scanner says; of an index of its worst image."),
        Schema.may("child_manifest_count", .natural), Schema.may("present_child_count", .natural),
    ]

    private struct View: Encodable {
        let name: String
        let manifest_digest: String
        let is_manifest_list: Bool
        let size: Int64
        let cached_bytes: Int64
        let reversion = false
        let start_ts: Int64
        let end_ts: Int64?
        let last_modified: String
        let expiration: String?
        let last_pulled: String?
        let last_checked: String
        let state: String
        let pinned: Bool
        let security: Security?
        let child_manifest_count: Int?
        let present_child_count: Int?

        init(_ tag: TagLifetime, _ scan: ScanLine?) {
            name = tag.name.rawValue
            manifest_digest = tag.digest.description
            is_manifest_list = tag.isIndex
            size = tag.image.totalBytes
            cached_bytes = tag.image.presentBytes
            start_ts = Int64(tag.startedAt)
            end_ts = (tag.endedAt ?? tag.expiresAt).map { Int64($0) }
            last_modified = APITime.text(tag.startedAt)
            expiration = (tag.endedAt ?? tag.expiresAt).map(APITime.text)
            last_pulled = tag.lastPulledAt.map(APITime.text)
            last_checked = APITime.text(tag.checkedAt)
            state = tag.end?.rawValue ?? tag.image.state
            pinned = tag.isPinned
            security = scan.map(Security.init)
            child_manifest_count = tag.image.children?.listed
            present_child_count = tag.image.children?.present
        }
    }

    private struct List: Encodable {
        let tags: [View]
        let page: Int
        let has_additional: Bool
        let next_page: String?
    }

    private struct History: Encodable {
        let tags: [View]
        let next_page: String?
    }

    private func list(_ call: Call) async throws -> Response {
        var filter = TagStore.Filter()
        if let text = call.query.text("specificTag") { filter.name = try Self.tag(text, "specificTag") }
        if let text = call.query.text("filter_tag_name") {
            if text.hasPrefix("eq:") {
                filter.name = try Self.tag(String(text.dropFirst(3)), "filter_tag_name")
            } else {
                filter.nameContains = text.hasPrefix("like:") ? String(text.dropFirst(5)) : text
            }
        }
        filter.isLive = call.query.flag("onlyActiveTags") ?? false
        let (page, shown, next) = try await read(call, filter)
        return try APIReply.json(
            List(tags: try await views(shown, call), page: page, has_additional: next != nil, next_page: next)
        )
    }

    private func views(_ tags: [TagLifetime], _ call: Call) async throws -> [View] {
        let scans = try await reports.summaries(
            of: Array(Set(tags.map(\.digest.description))),
            repository: call.repository,
            organization: call.organization.id,
            on: client
        )
        return tags.map { View($0, scans[$0.digest.description]) }
    }

    private func history(_ call: Call) async throws -> Response {
        var filter = TagStore.Filter()
        filter.name = try Self.tag(call.parameter("tag"), "tag")
        filter.isLive = false
        let (_, shown, next) = try await read(call, filter)
        guard !shown.isEmpty else { throw APIError.notFound("there is no such tag in the cache") }
        return try APIReply.json(History(tags: try await views(shown, call), next_page: next))
    }

    private func read(_ call: Call, _ filter: TagStore.Filter) async throws -> (Int, [TagLifetime], String?) {
        var filter = filter
        let page = try Page(call, parts: 2)
        let number = Int(call.query.integer("page") ?? 1)
        if let after = page.after {
            guard let id = Int64(after[1]) else { throw APIError.invalid("next_page: is none that a page has said") }
            filter.after = (after[0], id)
        } else {
            filter.skip = (number - 1) * page.limit
        }
        filter.limit = page.limit + 1
        let repository = try call.repository
        let organization = try call.organization.id
        let found = try await store.lifetimes(filter, repository: repository, organization: organization, on: client)
        if found.isEmpty, try await repositories.find(repository, organization: organization, on: client) == nil {
            throw APIError.notFound("there is no such tag in the cache")
        }
        let (shown, next) = try page.cut(found) { [$0.name.rawValue, $0.id.description] }
        return (number, shown, next)
    }

    private static func tag(_ text: String, _ name: String) throws -> TagName {
        guard let tag = TagName(rawValue: text) else {
            throw name == "tag"
                ? APIError.notFound("there is no such tag in the cache") : .invalid("\(name): is no tag")
        }
        return tag
    }

    private func live(_ call: Call) async throws -> TagLifetime {
        var filter = TagStore.Filter()
        filter.name = try Self.tag(call.parameter("tag"), "tag")
        filter.limit = 1
        let found = try await store.lifetimes(
            filter,
            repository: call.repository,
            organization: call.organization.id,
            on: client
        )
        guard let tag = found.first else { throw APIError.notFound("there is no such tag in the cache") }
        return tag
    }

    private func change(_ call: Call) async throws -> Response {
        let tag = try await live(call)
        let repository = try call.repository
        let organization = try call.organization
        if call.body.has("expiration") {
            let end = call.body.integer("expiration")
            let lifetime = end.map { Duration.seconds(Double($0) - Date().timeIntervalSince1970) }
            if let lifetime, lifetime <= .zero { throw APIError.invalid("expiration: has to be in the future") }
            let changed = try await store.overrideExpiration(
                of: tag.name,
                repository: repository,
                organization: organization.id,
                expiration: lifetime,
                on: client
            )
            guard changed else { throw APIError.notFound("there is no such tag in the cache") }
            try await note(call, .changeTagExpiration, tag.name, ["expiration_date": end.map(String.init) ?? "never"])
        }
        if let isPinned = call.body.flag("pinned") {
            let changed =
                isPinned != tag.isPinned
                ? try await setPinned(isPinned, tag.name, repository, organization.id) : false
            if changed { try await note(call, isPinned ? .pinTag : .unpinTag, tag.name) }
        }
        return try APIReply.json("Updated", status: .created)
    }

    private func delete(_ call: Call) async throws -> Response {
        let tag = try Self.tag(call.parameter("tag"), "tag")
        let deleted = try await lifetimes.delete(
            tag,
            repository: call.repository,
            organization: call.organization.id,
            on: client
        )
        guard deleted else { throw APIError.notFound("there is no such tag in the cache") }
        try await note(call, .deleteTag, tag)
        return Response(status: .noContent)
    }

    private func restore(_ call: Call) async throws -> Response {
        let tag = try Self.tag(call.parameter("tag"), "tag")
        let organization = try call.organization
        let digest = try call.body.text("manifest_digest").map { text in
            guard let digest = Digest(rawValue: text) else { throw APIError.invalid("manifest_digest: is no digest") }
            return digest
        }
        let remembered = try await store.remembered(
            tag,
            at: digest,
            repository: call.repository,
            organization: organization.id,
            timeMachine: organization.timeMachine ?? timeMachine,
            on: client
        )
        guard let remembered,
            try await lifetimes.revive(remembered.id, organization: organization.id, on: client)
        else { throw APIError.notFound("the time machine remembers no such tag") }
        let revived = remembered.digest.description
        try await note(call, .restoreTag, tag, ["manifest_digest": revived])
        return try APIReply.json(["name": tag.rawValue, "manifest_digest": revived])
    }

    private func setPinned(
        _ isPinned: Bool,
        _ tag: TagName,
        _ repository: RepositoryName,
        _ organization: OrganizationID
    ) async throws -> Bool {
        if isPinned {
            try await lifetimes.pin(tag, repository: repository, organization: organization, on: client)
        } else {
            try await lifetimes.unpin(tag, repository: repository, organization: organization, on: client)
        }
    }

    private func note(_ call: Call, _ kind: LogKind, _ tag: TagName, _ facts: [String: String] = [:]) async throws {
        try await access.changed(
            call.organization,
            kind,
            call.context,
            repository: call.repository,
            facts: facts.merging(["tag": tag.rawValue]) { $1 }
        )
    }
}
