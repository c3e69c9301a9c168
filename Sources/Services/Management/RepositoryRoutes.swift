// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Metadata
import Models
import OCI
import Postgres

/// What is cached, by repository.
struct RepositoryRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    private let organizations = OrganizationStore()
    private let store = RepositoryStore()

    init(client: PostgresClient, access: OrganizationAccess) {
        self.client = client
        self.access = access
    }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "repository",
                "listRepositories",
                "Repositories of an organization.",
                .namespace,
                query: [
                    Schema.has("namespace", .text(1...255), "The organization."), PageCursor.parameter,
                    PageCursor.limit,
                    Schema.may("public", .flag, "The model's: whether public ones are listed too; they are."),
                    Schema.may("last_modified", .flag, "The model's; without use here."),
                    Schema.may("popularity", .flag, "The model's; without use here."),
                ],
                .ok([Schema.has("repositories", .list(.object(Self.view))), PageCursor.member]),
                list
            ),
            Operation(
                .get,
                "repository/{repository}",
                "getRepository",
                "A repository.",
                .pull,
                .ok(Self.view + [Schema.has("can_write", .flag), Schema.has("can_admin", .flag)]),
                show
            ),
            Operation(
                .delete,
                "repository/{repository}",
                "deleteRepository",
                "Remove a repository from the cache. What is pulled again is fetched again.",
                .repository(.admin),
                .noContent,
                delete
            ),
        ]
    }

    private static let view = [
        Schema.has("namespace", .text()), Schema.has("name", .text()), Schema.has("description", .nullable(.text())),
        Schema.has("is_public", .flag), Schema.has("kind", .choice(["image"])),
        Schema.has("state", .choice(["NORMAL"])),
        Schema.has("is_starred", .flag), Schema.has("is_organization", .flag),
        Schema.has("cache_state", .text(), "complete, or fetching n/m in images."),
        Schema.has("cached_bytes", .natural, "Distinct blobs and manifests that are here."),
        Schema.has("tag_count", .natural), Schema.has("created", .text()),
        Schema.has("last_pulled", .nullable(.text())), Schema.has("last_modified", .nullable(.natural)),
        Schema.has(
            "quota_report",
            .object([Schema.has("quota_bytes", .natural), Schema.has("configured_quota", .nullable(.natural))])
        ),
    ]

    private struct View: Encodable {
        struct QuotaReport: Encodable {
            let quota_bytes: Int64
            @Nullable var configured_quota: Int64?
        }

        let namespace: String
        let name: String
        @Nullable var description: String?
        let is_public: Bool
        let kind = "image"
        let state = "NORMAL"
        let is_starred = false
        let is_organization = true
        let cache_state: String
        let cached_bytes: Int64
        let tag_count: Int
        let created: String
        @Nullable var last_pulled: String?
        @Nullable var last_modified: Int64?
        let quota_report: QuotaReport
        var can_write: Bool?
        var can_admin: Bool?

        init(_ repository: RepositorySummary, of organization: Organization) {
            namespace = organization.name.rawValue
            name = repository.name.rawValue
            is_public = organization.isPublic
            cache_state =
                repository.completeImages == repository.images
                ? "complete" : "fetching \(repository.completeImages)/\(repository.images)"
            cached_bytes = repository.cachedBytes
            tag_count = repository.tags
            created = APITime.text(repository.createdAt)
            last_pulled = repository.lastPulledAt.map(APITime.text)
            last_modified = repository.lastPulledAt.map { Int64($0) }
            quota_report = QuotaReport(quota_bytes: repository.cachedBytes)
        }
    }

    private struct List: Encodable {
        let repositories: [View]
        let next_page: String?
    }

    private func list(_ call: Call) async throws -> Response {
        let account = call.context.account
        var organization: Organization?
        if let name = OrganizationName(rawValue: call.query.text("namespace") ?? "") {
            organization = try await organizations.find(name, on: client)
        }
        // One that isn't there looks like one that the caller may not see.
        guard let organization, AccessRules.mayPull(account, from: organization) else {
            guard let account else { throw APIError.unauthenticated }
            throw account.isSuperuser ? APIError.notFound("there is no such repository in the cache") : .forbidden
        }
        let page = try Page(call, parts: 1)
        let found = try await store.summaries(
            of: organization.id,
            after: page.after?[0] ?? "",
            limit: page.limit + 1,
            on: client
        )
        let (shown, next) = try page.cut(found) { [$0.name.rawValue] }
        return try APIReply.json(List(repositories: shown.map { View($0, of: organization) }, next_page: next))
    }

    private func show(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let found = try await store.summaries(of: organization.id, name: call.repository, limit: 1, on: client)
        guard let repository = found.first else { throw APIError.notFound("there is no such repository in the cache") }
        var view = View(repository, of: organization)
        // Only upstreams write.
        view.can_write = false
        view.can_admin = AccessRules.has(.admin, call.context.account, in: organization)
        return try APIReply.json(view)
    }

    private func delete(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let name = try call.repository
        guard try await store.delete(name, organization: organization.id, on: client) else {
            throw APIError.notFound("there is no such repository in the cache")
        }
        try await access.changed(organization, .deleteRepository, call.context, repository: name)
        return Response(status: .noContent)
    }
}
