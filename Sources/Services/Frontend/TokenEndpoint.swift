// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import HTTPTypes
import HummingbirdCore
import Models
import NIOCore
import OCI
import PullThrough

/// `/v2/auth`: gives tokens for names and secrets, by GET (distribution, "Token Authentication Specification") and by POST
/// ("OAuth2 Token Authentication").
struct TokenEndpoint: Sendable {
    private static let maximumBodyBytes = 65_536

    let authenticator: Authenticator
    let signer: TokenSigner
    let organizations: OrganizationDirectory

    private struct Ask {
        var name: String?
        var secret: String?
        var scopes: [TokenScope]
    }

    func answer(_ request: Request, from address: String?) async throws -> Reply {
        let ask: Ask
        switch request.method {
        case .get: ask = try Self.ask(request)
        case .post: ask = try await Self.form(request)
        default:
            throw RegistryError(
                .unsupported,
                status: 405,
                message: "tokens are asked for by GET or POST",
                allowedMethods: [.get, .post]
            )
        }
        guard let name = ask.name, let secret = ask.secret else {
            guard !ask.scopes.isEmpty else { throw Self.unauthorized("a login, or a scope, is needed") }
            return try await token(ask.scopes, account: nil, credential: nil)
        }
        switch try await authenticator.login(name, secret, from: address ?? "unknown") {
        case .accepted(let account, let credential):
            return try await token(ask.scopes, account: account, credential: credential)
        case .insufficient:
            throw RegistryError(.denied, message: "the token isn't for pulling")
        case .refused:
            throw Self.unauthorized("no account has this name and this password")
        case .throttled(let seconds):
            throw RegistryError(
                .tooManyRequests,
                message: "too many logins have failed, or are being checked",
                retryAfterSeconds: seconds
            )
        }
    }

    /// What is asked for, as far as it is allowed. What isn't is left out without a word: a token says nothing of what is
    /// there.
    private func token(_ scopes: [TokenScope], account: Account?, credential: AccessTokenID?) async throws -> Reply {
        var access: [RegistryToken.Access] = []
        for scope in scopes {
            let isGranted = try await mayPull(scope, account)
            access.append(RegistryToken.Access(type: scope.type, name: scope.name, actions: isGranted ? ["pull"] : []))
        }
        let service = TokenService.name
        let (token, claims) = try await signer.sign(access, account: account, credential: credential, service: service)
        struct Body: Encodable {
            let token: String
            let access_token: String
            let expires_in: Int64
            let issued_at: String
        }
        let issued = Date(timeIntervalSince1970: TimeInterval(claims.iat))
        let body = Body(
            token: token,
            access_token: token,
            expires_in: claims.exp - claims.iat,
            issued_at: issued.formatted(.iso8601)
        )
        let bytes = Array(try JSONEncoder().encode(body))
        return Reply(
            status: 200,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: .bytes(bytes),
            contentLength: Int64(bytes.count)
        )
    }

    private func mayPull(_ scope: TokenScope, _ account: Account?) async throws -> Bool {
        guard scope.type == "repository", scope.actions.contains("pull") || scope.actions.contains("*"),
            let name = RepositoryName(rawValue: scope.name), let found = try await organizations.find(path: name)
        else { return false }
        return AccessRules.mayPull(account, from: found.organization)
    }

    // MARK: - Reading

    private static func ask(_ request: Request) throws -> Ask {
        let query = URLComponents(string: request.head.path ?? "")?.queryItems ?? []
        let scopes = try scopes(query.filter { $0.name == "scope" }.compactMap(\.value))
        guard let value = request.headers[.authorization] else { return Ask(scopes: scopes) }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic", let login = BasicCredentials(encoded: parts[1]) else {
            throw unauthorized("Authorization isn't Basic with a name and a password")
        }
        return Ask(name: login.name, secret: login.secret, scopes: scopes)
    }

    private static func form(_ request: Request) async throws -> Ask {
        let body: String
        do {
            body = String(buffer: try await request.body.collect(upTo: maximumBodyBytes))
        } catch is NIOTooManyBytesError {
            throw RegistryError(.unsupported, status: 413, message: "a form has \(maximumBodyBytes) bytes at the most")
        }
        // A form's blanks are plus signs.
        let form = URLComponents(string: "?" + body.replacing("+", with: "%20"))?.queryItems ?? []
        let fields = Dictionary(form.map { ($0.name, $0.value ?? "") }) { first, _ in first }
        let scopes = try scopes(form.filter { $0.name == "scope" }.compactMap(\.value))
        guard fields["grant_type"] == "password", let name = fields["username"], let secret = fields["password"] else {
            throw RegistryError(
                .unsupported,
                status: 400,
                message: "the grant type has to be password, with username and password"
            )
        }
        return Ask(name: name, secret: secret, scopes: scopes)
    }

    private static func scopes(_ values: [String]) throws -> [TokenScope] {
        guard let scopes = TokenScope.parse(values) else {
            throw RegistryError(
                .unsupported,
                status: 400,
                message: "scope: expected repository:NAME:ACTION, \(TokenScope.maximum) times at the most"
            )
        }
        return scopes
    }

    private static func unauthorized(_ message: String) -> RegistryError {
        RegistryError(.unauthorized, message: message, challenge: "Basic realm=\"\(TokenService.name)\"")
    }
}
