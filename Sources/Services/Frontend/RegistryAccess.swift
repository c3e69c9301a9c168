// SPDX-License-Identifier: Apache-2.0

import Accounts
import HTTPTypes
import Models
import NIOCore
import OCI

/// Who sent a request.
struct Caller: Sendable {
    /// Nil for somebody who hasn't logged in.
    let account: Account?
    /// Nil for somebody who sent none.
    let token: RegistryToken?

    static let nobody = Caller(account: nil, token: nil)
}

/// Where tokens come from, as clients are told.
struct TokenService: Sendable {
    /// What our tokens are for.
    static let name = RegistryToken.service
    static let path = "/v2/auth"

    /// Host, with port if need be, under which clients know us; nil for what a trusted proxy says, or the address that they
    /// connected to. Nothing that a client writes into a header decides it.
    let hostname: String?
    /// `http` or `https`, as clients see it, unless a trusted proxy knows better.
    let scheme: String

    /// The challenge of a 401 (distribution, "Token Authentication Specification").
    func challenge(for origin: RequestOrigin, scope: String? = nil, error: String? = nil) -> String {
        let host = hostname ?? origin.host ?? Self.address(of: origin.channel)
        var text =
            "Bearer realm=\"\(origin.scheme ?? scheme)://\(host)\(Self.path)\",service=\"\(Self.name)\""
        if let scope { text += ",scope=\"\(scope)\"" }
        if let error { text += ",error=\"\(error)\"" }
        return text
    }

    private static func address(of channel: any Channel) -> String {
        guard let address = channel.localAddress, let host = address.ipAddress, let port = address.port else {
            return "localhost"
        }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// Decides over each request of the registry.
struct RegistryAccess: Sendable {
    let signer: TokenSigner
    let accounts: AccountDirectory
    let service: TokenService

    /// Who sends the request.
    /// - Throws: ``RegistryError`` 401 for anything in `Authorization` but a token of ours that is good at this moment
    func caller(_ headers: HTTPFields, for origin: RequestOrigin) async throws -> Caller {
        guard let value = headers[.authorization] else { return .nobody }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer",
            let token = try await signer.verify(String(parts[1]), service: TokenService.name)
        else { throw refusal(for: origin) }
        guard token.account != nil else { return Caller(account: nil, token: token) }
        guard let account = try await accounts.find(bearerOf: token) else { throw refusal(for: origin) }
        return Caller(account: account, token: token)
    }

    /// Lets the caller pull from the repository, or throws.
    ///
    /// A repository that isn't there and one that the caller may not see are answered alike.
    /// - Parameters:
    ///   - organization: nil when there is none of that name
    ///   - name: of organization and repository, as tokens name it
    func checkPull(
        _ caller: Caller,
        from organization: Organization?,
        _ name: RepositoryName,
        for origin: RequestOrigin
    ) throws {
        if let organization, AccessRules.mayPull(caller.account, from: organization) {
            if organization.isPublic || caller.token?.allowsPull(from: name) == true { return }
            throw challenge(name, for: origin, error: "insufficient_scope", "the token isn't for \(name)")
        }
        guard let account = caller.account else {
            throw challenge(name, for: origin, error: nil, "\(name) is not there, or takes a login")
        }
        if account.isSuperuser { throw RegistryError(.nameUnknown, message: "there is no repository \(name) here") }
        throw RegistryError(.denied, message: "\(name) is not there, or \(account.name) may not pull from it")
    }

    /// Who asks whether the registry is there is told where tokens come from.
    func checkPing(_ caller: Caller, for origin: RequestOrigin) throws {
        guard caller.token == nil else { return }
        throw RegistryError(
            .unauthorized,
            message: "get a token first",
            challenge: service.challenge(for: origin)
        )
    }

    private func challenge(
        _ name: RepositoryName,
        for origin: RequestOrigin,
        error: String?,
        _ message: String
    ) -> RegistryError {
        let scope = "repository:\(name):pull"
        return RegistryError(
            .unauthorized,
            message: message,
            challenge: service.challenge(for: origin, scope: scope, error: error)
        )
    }

    private func refusal(for origin: RequestOrigin) -> RegistryError {
        RegistryError(
            .unauthorized,
            message: "the token isn't good, or not any more",
            challenge: service.challenge(for: origin, error: "invalid_token")
        )
    }
}
