// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Jobs
import Metadata
import Models
import OCI
import Postgres

/// Who has which role in an organization.
struct MemberRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let notifier: JobNotifier
    private let accounts = AccountStore()

    init(client: PostgresClient, access: OrganizationAccess, notifier: JobNotifier) {
        self.client = client
        self.access = access
        self.notifier = notifier
    }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "organization/{orgname}/members",
                "listMembers",
                "People who have a role in the organization.",
                .organization(.admin),
                query: [PageCursor.parameter, PageCursor.limit],
                .ok([Schema.has("members", .list(.object(Self.view))), PageCursor.member]),
                list
            ),
            Operation(
                .get,
                "organization/{orgname}/members/{membername}",
                "getMember",
                "One of them.",
                .organization(.admin),
                .ok(Self.view),
                show
            ),
            Operation(
                .put,
                "organization/{orgname}/members/{membername}",
                "setMember",
                "Give somebody a role.",
                .organization(.admin),
                body: [Schema.has("role", .choice(OrganizationRole.allCases.map(\.rawValue)))],
                .says("Updated"),
                set
            ),
            Operation(
                .delete,
                "organization/{orgname}/members/{membername}",
                "removeMember",
                "Take somebody's role away.",
                .organization(.admin),
                .noContent,
                remove
            ),
        ]
    }

    private static let view = [
        Schema.has("name", .text()), Schema.has("kind", .choice(["user"])),
        Schema.has("role", .choice(OrganizationRole.allCases.map(\.rawValue))), Schema.has("enabled", .flag),
    ]

    private struct View: Encodable {
        let name: String
        let kind = "user"
        let role: String
        let enabled: Bool

        init(_ name: AccountName, _ role: OrganizationRole, isEnabled: Bool) {
            self.name = name.rawValue
            self.role = role.rawValue
            enabled = isEnabled
        }
    }

    private struct List: Encodable {
        let members: [View]
        let next_page: String?
    }

    private func list(_ call: Call) async throws -> Response {
        let page = try Page(call, parts: 1)
        let members = try await accounts.members(
            of: call.organization.id,
            after: page.after?[0] ?? "",
            limit: page.limit + 1,
            on: client
        )
        let (shown, next) = try page.cut(members) { [$0.name.rawValue] }
        return try APIReply.json(
            List(
                members: shown.map { View($0.name, $0.role ?? .reader, isEnabled: $0.isEnabled) },
                next_page: next
            )
        )
    }

    private func member(_ call: Call) async throws -> (Account, OrganizationRole) {
        guard let name = AccountName(rawValue: try call.parameter("membername")),
            let account = try await accounts.find(name, on: client), account.kind == .user,
            let role = account.roles[try call.organization.id]
        else { throw APIError.notFound("the organization has no such member") }
        return (account, role)
    }

    private func show(_ call: Call) async throws -> Response {
        let (account, role) = try await member(call)
        return try APIReply.json(View(account.name, role, isEnabled: account.isEnabled))
    }

    private func set(_ call: Call) async throws -> Response {
        guard let role = OrganizationRole(rawValue: call.body.text("role") ?? "") else {
            throw APIError.invalid("role: is needed")
        }
        // Whoever isn't there looks like a robot: an administrator of one organization learns no names of others.
        guard let name = AccountName(rawValue: try call.parameter("membername")),
            let account = try await accounts.find(name, on: client), account.kind == .user
        else { throw APIError.notFound("there is no such person") }
        try await change(call, account, role)
        return try APIReply.json("Updated")
    }

    private func remove(_ call: Call) async throws -> Response {
        let (account, _) = try await member(call)
        try await change(call, account, nil)
        return Response(status: .noContent)
    }

    private func change(_ call: Call, _ account: Account, _ role: OrganizationRole?) async throws {
        let organization = try call.organization
        try await accounts.setRole(role, of: account.id, in: organization.id, on: client)
        await notifier.notify(.accounts, [account.id.description])
        try await access.changed(
            organization,
            .changeMember,
            call.context,
            facts: ["member": account.name.rawValue, "role": role?.rawValue ?? "none"]
        )
    }
}
