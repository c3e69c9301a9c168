// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import HTTPTypes
import Hummingbird
import Jobs
import Metadata
import Models
import OCI
import Postgres

/// People: themselves, and those whom superusers look after.
struct UserRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let authenticator: Authenticator
    let notifier: JobNotifier
    private let accounts = AccountStore()

    init(client: PostgresClient, access: OrganizationAccess, authenticator: Authenticator, notifier: JobNotifier) {
        self.client = client
        self.access = access
        self.authenticator = authenticator
        self.notifier = notifier
    }

    private static let password = Schema.text(
        PasswordHash.lengths.lowerBound...PasswordHash.lengths.upperBound
    )

    var operations: [Operation] {
        [
            Operation(.get, "user", "getUser", "Who asks.", .account, .ok(Self.me), showMe),
            Operation(
                .put,
                "user",
                "changePassword",
                "Change one's own password, which takes the one of before: a token isn't enough.",
                .account,
                body: [Schema.has("password", Self.password)],
                .says("Updated"),
                changeMine
            ),
            Operation(
                .get,
                "superuser/users",
                "listUsers",
                "Accounts of people.",
                .superuser,
                query: [PageCursor.parameter, PageCursor.limit],
                .ok([Schema.has("users", .list(.object(Self.view))), PageCursor.member]),
                list
            ),
            Operation(
                .post,
                "superuser/users",
                "createUser",
                "Make an account; without a password one is made up, and shown this once.",
                .superuser,
                body: [
                    Schema.has("username", .text(2...255)), Schema.may("password", Self.password),
                    Schema.may("email", .text(), "The model's; without use here."), Schema.may("super_user", .flag),
                ],
                .ok([
                    Schema.has("username", .text()), Schema.has("super_user", .flag),
                    Schema.may("password", .text(), "Shown this once, if it was made up."),
                ]),
                create
            ),
            Operation(
                .get,
                "superuser/users/{username}",
                "getUserByName",
                "An account.",
                .superuser,
                .ok(Self.view)
            ) { call in try APIReply.json(View(try await find(call).1)) },
            Operation(
                .put,
                "superuser/users/{username}",
                "changeUser",
                "Change a password, or let an account (a robot's too) in no more, or again.",
                .superuser,
                body: [
                    Schema.may("password", Self.password), Schema.may("enabled", .flag),
                    Schema.may("email", .text(), "The model's; without use here."),
                ],
                .ok(Self.view),
                change
            ),
            Operation(
                .delete,
                "superuser/users/{username}",
                "deleteUser",
                "Remove an account.",
                .superuser,
                .noContent,
                delete
            ),
        ]
    }

    // MARK: - Views

    private static let view = [
        Schema.has("username", .text(0...511)), Schema.has("kind", .choice(["user", "robot"])),
        Schema.has("super_user", .flag),
        Schema.has("enabled", .flag), Schema.has("created", .text()), Schema.has("last_login", .nullable(.text())),
    ]

    private struct View: Encodable {
        let username: String
        let kind: String
        let super_user: Bool
        let enabled: Bool
        let created: String
        @Nullable var last_login: String?

        init(_ account: AccountSummary) {
            username = account.name.rawValue
            kind = account.name.robotOrganization == nil ? "user" : "robot"
            super_user = account.isSuperuser
            enabled = account.isEnabled
            created = APITime.text(account.createdAt)
            last_login = account.lastLoginAt.map(APITime.text)
        }
    }

    private struct List: Encodable {
        let users: [View]
        let next_page: String?
    }

    private static let me = [
        Schema.has("anonymous", .flag), Schema.has("username", .text(0...511)), Schema.has("super_user", .flag),
        Schema.has("is_robot", .flag),
        Schema.has(
            "organizations",
            .list(
                .object([
                    Schema.has("name", .text()), Schema.has("is_org_admin", .flag),
                    Schema.has("role", .choice(OrganizationRole.allCases.map(\.rawValue))),
                ]),
                maximum: 100_000
            )
        ),
    ]

    private struct Me: Encodable {
        struct Role: Encodable {
            let name: String
            let is_org_admin: Bool
            let role: String
        }

        let anonymous = false
        let username: String
        let super_user: Bool
        let is_robot: Bool
        let organizations: [Role]
    }

    private struct Made: Encodable {
        let username: String
        let super_user: Bool
        let password: String?
    }

    // MARK: - Operations

    private func showMe(_ call: Call) async throws -> Response {
        let account = try call.account
        let roles = try await accounts.organizations(of: account.id, on: client)
        return try APIReply.json(
            Me(
                username: account.name.rawValue,
                super_user: account.isSuperuser,
                is_robot: account.kind == .robot,
                organizations: roles.map {
                    Me.Role(name: $0.name.rawValue, is_org_admin: $0.role == .admin, role: $0.role.rawValue)
                }
            )
        )
    }

    private func changeMine(_ call: Call) async throws -> Response {
        let account = try call.account
        guard account.kind == .user else { throw APIError.invalid("a robot has tokens and no password") }
        guard call.context.credential == nil else { throw APIError.passwordRequired }
        let hash = try await hashed(call.body.text("password") ?? "")
        try await accounts.setPassword(hash, of: account.id, on: client)
        try await tell(call, [.changePassword], account)
        return try APIReply.json("Updated")
    }

    private func list(_ call: Call) async throws -> Response {
        let page = try Page(call, parts: 1)
        let users = try await accounts.users(after: page.after?[0] ?? "", limit: page.limit + 1, on: client)
        let (shown, next) = try page.cut(users) { [$0.name.rawValue] }
        return try APIReply.json(List(users: shown.map(View.init), next_page: next))
    }

    private func create(_ call: Call) async throws -> Response {
        let name: AccountName
        do throws(ModelError) { name = try AccountName(call.body.text("username") ?? "") } catch {
            throw APIError.invalid("username: \(error.message)")
        }
        guard name.robotOrganization == nil else { throw APIError.invalid("username: would be a robot's name") }
        let isSuperuser = call.body.flag("super_user") ?? false
        let given = call.body.text("password")
        // No token's look: whoever reads it somewhere should know what it is.
        let password = given ?? UUID().uuidString.lowercased()
        let made = try await accounts.makeUser(
            name,
            passwordHash: try await hashed(password),
            isSuperuser: isSuperuser,
            on: client
        )
        guard made != nil else { throw APIError.invalid("The username already exists") }
        try await access.changed(
            .createUser,
            call.context,
            facts: ["username": name.rawValue, "superuser": "\(isSuperuser)"]
        )
        return try APIReply.json(
            Made(username: name.rawValue, super_user: isSuperuser, password: given == nil ? password : nil)
        )
    }

    private func find(_ call: Call) async throws -> (Account, AccountSummary) {
        guard let name = AccountName(rawValue: try call.parameter("username")),
            let account = try await accounts.find(name, on: client),
            let summary = try await accounts.summary(of: name, on: client)
        else { throw APIError.notFound("there is no such account") }
        return (account, summary)
    }

    private func change(_ call: Call) async throws -> Response {
        let (account, _) = try await find(call)
        let password = call.body.text("password")
        let isEnabled = call.body.flag("enabled")
        guard account.kind == .user || password == nil else {
            throw APIError.invalid("password: a robot has tokens and no password")
        }
        guard try isEnabled != false || account.id != call.account.id else {
            throw APIError.invalid("enabled: who asks can't shut himself out")
        }
        var hash: String?
        if let password { hash = try await hashed(password) }
        try await client.withTransaction { transaction in
            if let hash { try await accounts.setPassword(hash, of: account.id, on: transaction) }
            if let isEnabled { try await accounts.setEnabled(isEnabled, account.id, on: transaction) }
        }
        var kinds: [LogKind] = []
        if hash != nil { kinds.append(.changePassword) }
        if let isEnabled { kinds.append(isEnabled ? .enableUser : .disableUser) }
        try await tell(call, kinds, account)
        return try APIReply.json(View(try await find(call).1))
    }

    private func hashed(_ password: String) async throws -> String {
        do { return try await authenticator.hash(password).description } catch let busy as Authenticator.TooBusy {
            throw APIError.throttled(retryAfterSeconds: busy.retryAfterSeconds)
        }
    }

    /// Tells the frontends of changes, and the log.
    private func tell(_ call: Call, _ kinds: [LogKind], _ account: Account) async throws {
        guard !kinds.isEmpty else { return }
        await notifier.notify(.accounts, [account.id.description])
        for kind in kinds { try await access.changed(kind, call.context, facts: ["username": account.name.rawValue]) }
    }

    private func delete(_ call: Call) async throws -> Response {
        let (account, _) = try await find(call)
        guard try account.id != call.account.id else { throw APIError.invalid("who asks can't remove himself") }
        try await accounts.delete(account.id, on: client)
        try await tell(call, [.deleteUser], account)
        return Response(status: .noContent)
    }
}
