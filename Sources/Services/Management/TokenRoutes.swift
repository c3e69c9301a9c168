// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import HTTPTypes
import Hummingbird
import Jobs
import Metadata
import Models
import Postgres

/// Tokens by which programs act for whom they belong to.
struct TokenRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let notifier: JobNotifier
    private let tokens = AccessTokenStore()

    init(client: PostgresClient, access: OrganizationAccess, notifier: JobNotifier) {
        self.client = client
        self.access = access
        self.notifier = notifier
    }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "user/apptoken",
                "listTokens",
                "Tokens of the caller, without their secrets.",
                .account,
                .ok([Schema.has("tokens", .list(.object(TokenView.schema), maximum: TokenView.maximum))])
            ) { call in
                let list = try await tokens.list(of: call.account.id, limit: TokenView.maximum, on: client)
                return try APIReply.json(["tokens": list.map { TokenView($0) }])
            },
            Operation(
                .post,
                "user/apptoken",
                "createToken",
                "Make a token, which is shown this once.",
                .account,
                body: [
                    Schema.has("title", .text(1...255)),
                    Schema.may(
                        "scopes",
                        .list(.choice(Self.scopes), maximum: 10),
                        "repo:read may pull, org:admin may manage whatever its owner may; both unless it is given."
                    ),
                    Schema.may(
                        "expires_s",
                        .integer(1...Int64(10 * 366 * 86_400)),
                        "None unless it is given, or the caller's own token has one: that isn't outlived."
                    ),
                ],
                .ok([Schema.has("token", .object(TokenView.newSchema))]),
                create
            ),
            Operation(
                .get,
                "user/apptoken/{token_uuid}",
                "getToken",
                "One of them.",
                .account,
                .ok([Schema.has("token", .object(TokenView.schema))])
            ) { call in
                let id = AccessTokenID(rawValue: try call.number("token_uuid"))
                guard let token = try await tokens.summary(of: id, account: call.account.id, on: client) else {
                    throw APIError.notFound("there is no such token")
                }
                return try APIReply.json(["token": TokenView(token)])
            },
            Operation(
                .delete,
                "user/apptoken/{token_uuid}",
                "revokeToken",
                "Make a token worthless; `current` is the one that was sent.",
                .account,
                .noContent,
                revoke
            ),
        ]
    }

    private static let scopes = [Authenticator.pullScope, Authenticator.managementScope]

    private func create(_ call: Call) async throws -> Response {
        let account = try call.account
        guard account.kind == .user else { throw APIError.forbidden }
        let wished = call.body.integer("expires_s")
        try await checkLifetime(wished, call, account)
        let secret = SecretToken()
        let id = try await tokens.make(
            call.body.text("title") ?? "token",
            hash: secret.hash,
            scopes: call.body.texts("scopes") ?? Self.scopes,
            of: account.id,
            lifetime: wished.map { .seconds($0) },
            by: call.context.credential,
            on: client
        )
        await notifier.notify(.accounts, [account.id.description])
        try await access.changed(.createToken, call.context, facts: ["app_specific_token": id.description])
        guard let made = try await tokens.summary(of: id, account: account.id, on: client) else {
            throw APIError.notFound("the token was revoked at once")
        }
        return try APIReply.json(["token": TokenView(made, secret: secret)])
    }

    /// Otherwise whoever finds a token that ends soon could make one of it that doesn't.
    private func checkLifetime(_ wished: Int64?, _ call: Call, _ account: Account) async throws {
        guard let wished, let credential = call.context.credential,
            let end = try await tokens.summary(of: credential, account: account.id, on: client)?.expiresAt
        else { return }
        let rest = Int64(end - Date().timeIntervalSince1970)
        guard wished <= rest else {
            throw APIError.invalid(
                "expires_s: the token that asks ends in \(max(rest, 0)) s, and makes none that lasts longer; "
                    + "a password does"
            )
        }
    }

    private func revoke(_ call: Call) async throws -> Response {
        let account = try call.account
        let name = try call.parameter("token_uuid")
        guard let id = name == "current" ? call.context.credential : Int64(name).map(AccessTokenID.init(rawValue:))
        else {
            throw APIError.notFound("there is no such token")
        }
        guard try await tokens.revoke(id, of: account.id, on: client) else {
            throw APIError.notFound("there is no such token")
        }
        await notifier.notify(.accounts, [account.id.description])
        try await access.changed(.revokeToken, call.context, facts: ["app_specific_token": id.description])
        return Response(status: .noContent)
    }
}
