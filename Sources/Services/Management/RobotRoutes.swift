// SPDX-License-Identifier: Apache-2.0

import Accounts
import HTTPTypes
import Hummingbird
import Jobs
import Metadata
import Models
import OCI
import Postgres

/// Robots of an organization and their tokens. The model's robots have one token, which `PUT` and `regenerate` show; ours
/// may have many, each with an end of its own.
struct RobotRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let notifier: JobNotifier
    private let accounts = AccountStore()
    private let tokens = AccessTokenStore()

    init(client: PostgresClient, access: OrganizationAccess, notifier: JobNotifier) {
        self.client = client
        self.access = access
        self.notifier = notifier
    }

    private static let path = "organization/{orgname}/robots"

    var operations: [Operation] {
        [
            Operation(
                .get,
                Self.path,
                "listRobots",
                "Robots of the organization.",
                .organization(.admin),
                query: [PageCursor.parameter, PageCursor.limit],
                .ok([Schema.has("robots", .list(.object(Self.view))), PageCursor.member]),
                list
            ),
            Operation(
                .get,
                Self.path + "/{robot_shortname}",
                "getRobot",
                "One of them.",
                .organization(.admin),
                .ok(Self.view),
                show
            ),
            Operation(
                .put,
                Self.path + "/{robot_shortname}",
                "createRobot",
                "Make a robot and its first token, which is shown this once.",
                .organization(.admin),
                body: [
                    Schema.may("description", .text()),
                    Schema.may("unstructured_metadata", .map(.anything), "The model's; without use here."),
                    Self.lifetime,
                ],
                Operation.Success(status: .created, schema: .object(Self.view + [Self.secret])),
                create
            ),
            Operation(
                .delete,
                Self.path + "/{robot_shortname}",
                "deleteRobot",
                "Remove a robot with its tokens.",
                .organization(.admin),
                .noContent,
                delete
            ),
            Operation(
                .post,
                Self.path + "/{robot_shortname}/regenerate",
                "regenerateRobotToken",
                "Revoke all tokens of a robot and make another one, which is shown this once.",
                .organization(.admin),
                body: [Self.lifetime],
                .ok(Self.view + [Self.secret]),
                regenerate
            ),
            Operation(
                .get,
                Self.path + "/{robot_shortname}/tokens",
                "listRobotTokens",
                "Tokens of a robot, without their secrets.",
                .organization(.admin),
                .ok([Schema.has("tokens", .list(.object(TokenView.schema), maximum: TokenView.maximum))]),
                listTokens
            ),
            Operation(
                .post,
                Self.path + "/{robot_shortname}/tokens",
                "createRobotToken",
                "Make another token, which is shown this once.",
                .organization(.admin),
                body: [Schema.may("title", .text(1...255)), Self.lifetime],
                Operation.Success(status: .created, schema: .object(TokenView.newSchema)),
                createToken
            ),
            Operation(
                .delete,
                Self.path + "/{robot_shortname}/tokens/{token_uuid}",
                "revokeRobotToken",
                "Make a token worthless.",
                .organization(.admin),
                .noContent,
                revokeToken
            ),
        ]
    }

    private static let lifetime = Schema.may(
        "expires_s",
        .integer(1...Int64(10 * 366 * 86_400)),
        "Lifetime of the token in seconds; none if not given."
    )
    private static let secret = Schema.has("token", .text(), "Shown this once.")
    private static let view = [
        Schema.has("name", .text(0...511)), Schema.has("description", .text()), Schema.has("created", .text()),
        Schema.has("last_accessed", .nullable(.text())), Schema.has("enabled", .flag),
    ]

    private struct View: Encodable {
        let name: String
        let description: String
        let created: String
        @Nullable var last_accessed: String?
        let enabled: Bool
        var token: String?

        init(_ robot: AccountSummary, token: SecretToken? = nil) {
            name = robot.name.rawValue
            description = robot.description
            created = APITime.text(robot.createdAt)
            last_accessed = robot.lastLoginAt.map(APITime.text)
            enabled = robot.isEnabled
            self.token = token?.text
        }
    }

    private struct List: Encodable {
        let robots: [View]
        let next_page: String?
    }

    private func list(_ call: Call) async throws -> Response {
        let page = try Page(call, parts: 1)
        let robots = try await accounts.robots(
            of: call.organization.id,
            after: page.after?[0] ?? "",
            limit: page.limit + 1,
            on: client
        )
        let (shown, next) = try page.cut(robots) { [$0.name.rawValue] }
        return try APIReply.json(List(robots: shown.map { View($0) }, next_page: next))
    }

    private func name(_ call: Call) throws -> AccountName {
        let organization = try call.organization
        do { return try AccountName("\(organization.name)+\(call.parameter("robot_shortname"))") } catch let error
            as ModelError
        {
            throw APIError.invalid("robot_shortname: \(error.message)")
        }
    }

    private func find(_ call: Call) async throws -> (AccountID, AccountSummary) {
        let name = try name(call)
        guard let account = try await accounts.find(name, on: client),
            let summary = try await accounts.summary(of: name, on: client)
        else { throw APIError.notFound("Could not find robot with specified username") }
        return (account.id, summary)
    }

    private func show(_ call: Call) async throws -> Response { try APIReply.json(View(await find(call).1)) }

    private func create(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let name = try name(call)
        let made = try await client.withTransaction { transaction -> SecretToken? in
            guard
                let robot = try await accounts.makeRobot(
                    name,
                    of: organization.id,
                    description: call.body.text("description") ?? "",
                    on: transaction
                )
            else { return nil }
            return try await makeToken("first", of: robot, call, on: transaction).secret
        }
        guard let made, let summary = try await accounts.summary(of: name, on: client) else {
            throw APIError.invalid("Existing robot with name: \(name)")
        }
        try await access.changed(organization, .createRobot, call.context, facts: ["robot": name.rawValue])
        return try APIReply.json(View(summary, token: made), status: .created)
    }

    private func delete(_ call: Call) async throws -> Response {
        let (id, robot) = try await find(call)
        try await accounts.delete(id, on: client)
        try await tell(call, .deleteRobot, id, robot.name)
        return Response(status: .noContent)
    }

    private func regenerate(_ call: Call) async throws -> Response {
        let (id, robot) = try await find(call)
        let made = try await client.withTransaction { transaction in
            try await tokens.revokeAll(of: id, on: transaction)
            return try await makeToken("regenerated", of: id, call, on: transaction)
        }
        try await tell(call, .createRobotToken, id, robot.name, token: made.id)
        return try APIReply.json(View(robot, token: made.secret))
    }

    private func listTokens(_ call: Call) async throws -> Response {
        let (id, _) = try await find(call)
        let list = try await tokens.list(of: id, limit: TokenView.maximum, on: client)
        return try APIReply.json(["tokens": list.map { TokenView($0) }])
    }

    private func createToken(_ call: Call) async throws -> Response {
        let (id, robot) = try await find(call)
        let made = try await makeToken(call.body.text("title") ?? "token", of: id, call, on: client)
        try await tell(call, .createRobotToken, id, robot.name, token: made.id)
        guard let summary = try await tokens.summary(of: made.id, account: id, on: client) else {
            throw APIError.notFound("the token was revoked at once")
        }
        return try APIReply.json(TokenView(summary, secret: made.secret), status: .created)
    }

    private func revokeToken(_ call: Call) async throws -> Response {
        let (id, robot) = try await find(call)
        let token = AccessTokenID(rawValue: try call.number("token_uuid"))
        guard try await tokens.revoke(token, of: id, on: client) else {
            throw APIError.notFound("the robot has no such token")
        }
        try await tell(call, .revokeRobotToken, id, robot.name, token: token)
        return Response(status: .noContent)
    }

    private func makeToken(
        _ title: String,
        of robot: AccountID,
        _ call: Call,
        on db: some Queryable
    ) async throws -> (id: AccessTokenID, secret: SecretToken) {
        let secret = SecretToken()
        let id = try await tokens.make(
            title,
            hash: secret.hash,
            scopes: [Authenticator.pullScope],
            of: robot,
            lifetime: call.body.integer("expires_s").map { .seconds($0) },
            on: db
        )
        return (id, secret)
    }

    private func tell(
        _ call: Call,
        _ kind: LogKind,
        _ id: AccountID,
        _ name: AccountName,
        token: AccessTokenID? = nil
    ) async throws {
        await notifier.notify(.accounts, [id.description])
        var facts = ["robot": name.rawValue]
        if let token { facts["token"] = token.description }
        try await access.changed(try call.organization, kind, call.context, facts: facts)
    }
}
