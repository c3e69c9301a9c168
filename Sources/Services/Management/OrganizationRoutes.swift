// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Metadata
import Models
import OCI
import Postgres

/// Organizations themselves.
struct OrganizationRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let settings: ManagementAPI.Configuration
    private let store = OrganizationStore()
    private let quotas = QuotaStore()

    init(client: PostgresClient, access: OrganizationAccess, settings: ManagementAPI.Configuration) {
        self.client = client
        self.access = access
        self.settings = settings
    }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "organization",
                "listOrganizations",
                "Organizations that the caller has a role in; all of them for superusers.",
                .account,
                query: [PageCursor.parameter, PageCursor.limit],
                .ok([Schema.has("organizations", .list(.object(Self.listed))), PageCursor.member]),
                list
            ),
            Operation(
                .post,
                "organization",
                "createOrganization",
                "Make an organization.",
                .superuser,
                body: [
                    Schema.has("name", .text(2...255)),
                    Schema.may("email", .text(), "The model's; without use here."),
                    Schema.may("public_pull", .flag, "Whether everybody may pull; false unless it is given."),
                ],
                .says("Created", .created),
                create
            ),
            Operation(
                .get,
                "organization/{orgname}",
                "getOrganization",
                "An organization.",
                .organization(.reader),
                .ok(Self.view),
                show
            ),
            Operation(
                .put,
                "organization/{orgname}",
                "changeOrganization",
                "Change who may pull, and how long ended tags can be revived.",
                .organization(.admin),
                body: [
                    Schema.may("public_pull", .flag), Schema.may("email", .text(), "The model's; without use here."),
                    Schema.may("tag_expiration_s", .seconds, "The time machine, as the model calls it."),
                    Schema.may("time_machine_s", .seconds, "The same under our name; null: as the deployment says."),
                    Schema.may("keeps_pruned", .flag, "Whether the time machine remembers pruned tags."),
                    Schema.may(
                        "block_severity",
                        .text(1...32),
                        "Images with a fixable finding of it or worse are refused: None (for none), Critical, High…"
                    ),
                    Schema.may(
                        "unscanned",
                        .choice(UnscannedPolicy.allCases.map(\.rawValue)),
                        "What becomes of pulls of images that aren't scanned yet, where findings are asked for."
                    ),
                ],
                .says("Updated"),
                edit
            ),
            Operation(
                .delete,
                "organization/{orgname}",
                "deleteOrganization",
                "Remove an organization with its robots and repositories.",
                .superuser,
                .noContent,
                delete
            ),
        ]
    }

    private static let listed = [
        Schema.has("name", .text()), Schema.has("public_pull", .flag), Schema.has("is_proxy", .flag),
        Schema.has("role", .nullable(.choice(OrganizationRole.allCases.map(\.rawValue))), "The caller's."),
        Schema.has("upstream_registry", .nullable(.text(0...1_024))),
    ]

    private struct Listed: Encodable {
        let name: String
        let public_pull: Bool
        let is_proxy: Bool
        @Nullable var role: String?
        @Nullable var upstream_registry: String?
    }

    private struct List: Encodable {
        let organizations: [Listed]
        let next_page: String?
    }

    private func list(_ call: Call) async throws -> Response {
        let account = try call.account
        let page = try Page(call, parts: 1)
        let visible = try await store.page(
            after: page.after?[0] ?? "",
            of: account.isSuperuser ? nil : account.id,
            limit: page.limit + 1,
            on: client
        )
        let (shown, next) = try page.cut(visible) { [$0.name.rawValue] }
        return try APIReply.json(
            List(
                organizations: shown.map { organization in
                    Listed(
                        name: organization.name.rawValue,
                        public_pull: organization.isPublic,
                        is_proxy: organization.proxyCache != nil,
                        role: account.roles[organization.id]?.rawValue,
                        upstream_registry: organization.proxyCache?.upstream.plainDescription
                    )
                },
                next_page: next
            )
        )
    }

    private func create(_ call: Call) async throws -> Response {
        let name: OrganizationName
        do { name = try OrganizationName(call.body.text("name") ?? "") } catch {
            throw APIError.invalid("name: \(error.message)")
        }
        guard try await store.create(name, isPublic: call.body.flag("public_pull") ?? false, on: client),
            let organization = try await store.find(name, on: client)
        else {
            throw APIError.invalid("A user or organization with this name already exists")
        }
        try await access.changed(organization, .createOrganization, call.context)
        return try APIReply.json("Created", status: .created)
    }

    private static let view = [
        Schema.has("name", .text()), Schema.has("public_pull", .flag), Schema.has("is_admin", .flag),
        Schema.has("is_member", .flag), Schema.has("is_proxy", .flag),
        Schema.may("tag_expiration_s", .natural, "Of administrators only: how long ended tags can be revived."),
        Schema.may("time_machine_s", .natural, "The same under our name."),
        Schema.may("quotas", .list(.object(QuotaRoutes.view)), "Of members only."),
        Schema.may("quota_report", .object(QuotaRoutes.report), "Of members only."),
        Schema.has("block_severity", .choice(ScanPolicy.severities), "Of findings for which an image is refused."),
        Schema.has("unscanned", .choice(UnscannedPolicy.allCases.map(\.rawValue))),
    ]

    private struct View: Encodable {
        let name: String
        let public_pull: Bool
        let is_admin: Bool
        let is_member: Bool
        let is_proxy: Bool
        let tag_expiration_s: Int64?
        let time_machine_s: Int64?
        let quotas: [QuotaRoutes.View]?
        let quota_report: QuotaRoutes.Report?
        let block_severity: String
        let unscanned: String
    }

    private func show(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let isMember = AccessRules.has(.member, call.context.account, in: organization)
        let isAdmin = AccessRules.has(.admin, call.context.account, in: organization)
        let quota = isMember ? try await quotas.find(of: organization.id, on: client) : nil
        let timeMachine = isAdmin ? (organization.timeMachine ?? settings.timeMachine).components.seconds : nil
        return try APIReply.json(
            View(
                name: organization.name.rawValue,
                public_pull: organization.isPublic,
                is_admin: isAdmin,
                is_member: isMember,
                is_proxy: organization.proxyCache != nil,
                tag_expiration_s: timeMachine,
                time_machine_s: timeMachine,
                quotas: isMember ? quota.map { [QuotaRoutes.View($0)] } ?? [] : nil,
                quota_report: isMember ? try await QuotaRoutes.report(quota, of: organization, on: client) : nil,
                block_severity: organization.scanPolicy.blockSeverity?.name ?? ScanPolicy.noSeverity,
                unscanned: organization.scanPolicy.unscanned.rawValue
            )
        )
    }

    private func edit(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let settings = try OrganizationSettings(call.body)
        guard try await store.change(settings, of: organization.id, on: client) else {
            throw APIError.notFound("Not Found")
        }
        for (kind, facts) in settings.changes {
            try await access.changed(organization, kind, call.context, facts: facts)
        }
        return try APIReply.json("Updated")
    }

    private func delete(_ call: Call) async throws -> Response {
        let organization = try call.organization
        try await store.delete(organization.id, on: client)
        try await access.changed(organization, .deleteOrganization, call.context)
        return Response(status: .noContent)
    }
}
