// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Models
import OCI

/// Obtains and remembers the bearer tokens that registries want even from anonymous clients
/// (distribution's token specification).
actor UpstreamAuthorizer {
    private struct Key: Hashable {
        let organization: OrganizationID
        let generation: Int64
        let realm: TokenRealm
        let scope: String
    }

    private struct Place: Hashable {
        let authority: String
        let generation: Int64
        let organization: OrganizationID
    }

    private struct Token {
        let value: String
        let expiry: ContinuousClock.Instant
    }

    /// The specification's default when `expires_in` is missing.
    private static let defaultLifetime: Duration = .seconds(60)
    private static let maximumLifetime: Duration = .seconds(3_600)
    /// Tokens are renewed a little before they end.
    private static let skew: Duration = .seconds(5)
    private static let maximumTokens = 10_000
    private static let maximumReplyBytes = 128 * 1024

    private let transport: HTTPTransport
    private let deadlines: UpstreamClient.Deadlines
    private let clock = ContinuousClock()
    private var realms: [Place: TokenRealm] = [:]
    private var tokens: [Key: Token] = [:]

    init(transport: HTTPTransport, deadlines: UpstreamClient.Deadlines) {
        self.transport = transport
        self.deadlines = deadlines
    }

    /// Value of the Authorization header, if this upstream is known to want one. Saves the round trip of a challenge.
    func authorization(for repository: UpstreamRepository) async throws -> String? {
        guard let realm = realms[place(of: repository)] else { return nil }
        return try await bearer(realm, repository)
    }

    /// Answers a 401. Nil when there is nothing that we could answer.
    /// - Parameter rejected: the header that was sent and not accepted
    func renew(
        _ head: HTTPTransportHead,
        rejected: String?,
        for repository: UpstreamRepository
    ) async throws -> String? {
        let challenges = AuthChallenge.parse(head.headers[values: .wwwAuthenticate])
        guard let challenge = challenges.first(where: { $0.scheme == "bearer" }) else { return nil }
        let realm = try TokenRealm(challenge, for: repository)
        realms[place(of: repository)] = realm
        let key = key(realm, repository)
        if let token = tokens[key], rejected == "Bearer \(token.value)" { tokens[key] = nil }
        return try await bearer(realm, repository)
    }

    private func bearer(_ realm: TokenRealm, _ repository: UpstreamRepository) async throws -> String {
        let key = key(realm, repository)
        if let token = tokens[key], token.expiry > clock.now { return "Bearer \(token.value)" }
        let token = try await fetch(realm, repository)
        if tokens.count >= Self.maximumTokens {
            let now = clock.now
            tokens = tokens.filter { $0.value.expiry > now }
            if tokens.count >= Self.maximumTokens { tokens = [:] }
        }
        tokens[key] = token
        return "Bearer \(token.value)"
    }

    private func fetch(_ realm: TokenRealm, _ repository: UpstreamRepository) async throws -> Token {
        let what = "a token from \(realm.origin.host)"
        var request = HTTPTransportRequest(url: try realm.url(scope: repository.scope))
        request.headers[.accept] = "application/json"
        deadlines.apply(to: &request, isSmall: true)
        let reply: [UInt8]
        do {
            let response = try await transport.send(request)
            guard response.head.status == 200 else {
                throw Self.refusal(FetchFailure.status(response.head, asking: repository, for: what))
            }
            reply = try await response.collect(upTo: Self.maximumReplyBytes)
        } catch let error as HTTPTransportError {
            throw FetchFailure.transport(error, asking: repository, for: what)
        }
        struct Reply: Decodable {
            var token: String?
            var access_token: String?
            var expires_in: Double?
        }
        guard let decoded = try? JSONDecoder().decode(Reply.self, from: Data(reply)),  // any failure is the same answer
            let value = decoded.token ?? decoded.access_token, Self.isToken(value)
        else {
            throw FetchFailure(.upstreamError, "\(repository): the token server's answer has no token")
        }
        let lifetime = decoded.expires_in.map { Duration.seconds(min(max($0, 0), 86_400)) } ?? Self.defaultLifetime
        return Token(value: value, expiry: clock.now + min(lifetime, Self.maximumLifetime) - Self.skew)
    }

    /// A token server that isn't found says nothing about the image.
    private static func refusal(_ failure: FetchFailure) -> FetchFailure {
        guard failure.cause == .notFound else { return failure }
        return FetchFailure(
            .upstreamError,
            failure.message,
            retryAfterSeconds: failure.retryAfterSeconds,
            upstreamStatus: failure.upstreamStatus
        )
    }

    private func place(of repository: UpstreamRepository) -> Place {
        Place(
            authority: repository.address.authority,
            generation: repository.generation,
            organization: repository.organization
        )
    }

    private func key(_ realm: TokenRealm, _ repository: UpstreamRepository) -> Key {
        Key(
            organization: repository.organization,
            generation: repository.generation,
            realm: realm,
            scope: repository.scope
        )
    }

    /// The token68 form of RFC 9110 section 11.2, so that nothing else can get into the header.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 65_536
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || [0x2D, 0x2E, 0x5F, 0x7E, 0x2B, 0x2F, 0x3D].contains(byte)
            }
    }
}
