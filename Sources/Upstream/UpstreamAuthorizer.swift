// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Models
import OCI

/// Knows how each upstream wants to be spoken to, and obtains and remembers the tokens that registries want even from
/// anonymous clients (distribution's token specification).
///
/// Everything is bound to an organization and to the generation of its configuration: what one obtained with its
/// credentials is nobody else's, and new credentials begin anew.
actor UpstreamAuthorizer {
    private struct Place: Hashable {
        let baseURL: String
        let organization: OrganizationID
        let generation: Int64
    }

    private enum Scheme {
        case basic
        case bearer(TokenRealm)
    }

    private struct Key: Hashable {
        let place: Place
        let realm: TokenRealm
        let scope: String
    }

    private struct Token {
        let value: String
        let expiry: ContinuousClock.Instant
    }

    /// Tokens are renewed a little before they end.
    private static let skew: Duration = .seconds(5)
    private static let maximumEntries = 10_000
    private static let maximumReplyBytes = 128 * 1024

    private let transport: HTTPTransport
    private let credentials: any CredentialSource
    private let deadlines: UpstreamClient.Deadlines
    private let clock = ContinuousClock()
    private var schemes: [Place: Scheme] = [:]
    private var tokens: [Key: Token] = [:]
    private var refreshTokens: [Place: String] = [:]
    private var exchanges: [Key: Task<Token, any Error>] = [:]

    init(transport: HTTPTransport, credentials: any CredentialSource, deadlines: UpstreamClient.Deadlines) {
        self.transport = transport
        self.credentials = credentials
        self.deadlines = deadlines
    }

    /// Value of the Authorization header, if this upstream is known to want one. Saves the round trip of a challenge.
    func authorization(for repository: UpstreamRepository) async throws -> String? {
        switch schemes[place(of: repository)] {
        case nil: nil
        case .basic: try await credentials.credentials(for: repository.organization, at: repository.address)?.basic
        case .bearer(let realm): try await bearer(realm, repository)
        }
    }

    /// Answers a 401, or a 400 to a token that has expired. Nil when there is nothing that we could answer.
    /// - Parameter rejected: the header that was sent and not accepted
    func renew(
        _ head: HTTPTransportHead,
        rejected: String?,
        for repository: UpstreamRepository
    ) async throws -> String? {
        let place = place(of: repository)
        let challenges = AuthChallenge.parse(head.headers[values: .wwwAuthenticate])
        if let challenge = challenges.first(where: { $0.scheme == "bearer" }) {
            let realm = try TokenRealm(challenge, for: repository)
            remember(.bearer(realm), place)
        } else if challenges.contains(where: { $0.scheme == "basic" }) {
            remember(.basic, place)
        } else if challenges.isEmpty, head.status == 401 {
            return nil
        }
        if case .bearer(let realm) = schemes[place] {
            let key = Key(place: place, realm: realm, scope: repository.scope)
            if let token = tokens[key], rejected == "Bearer \(token.value)" { tokens[key] = nil }
        }
        let answer = try await authorization(for: repository)
        return answer == rejected ? nil : answer
    }

    // MARK: - Tokens

    private func bearer(_ realm: TokenRealm, _ repository: UpstreamRepository) async throws -> String {
        let key = Key(place: place(of: repository), realm: realm, scope: repository.scope)
        if let token = tokens[key], token.expiry > clock.now { return "Bearer \(token.value)" }
        if let exchange = exchanges[key] { return "Bearer \(try await exchange.value.value)" }
        // A task of nobody's: a hundred pulls wait for one token, and any of them may leave. Its deadline is that of its
        // requests.
        let exchange = Task { try await obtain(key, repository) }
        exchanges[key] = exchange
        defer { exchanges[key] = nil }
        let token = try await exchange.value
        if tokens.count >= Self.maximumEntries { tokens = [:] }
        tokens[key] = token
        return "Bearer \(token.value)"
    }

    private func obtain(_ key: Key, _ repository: UpstreamRepository) async throws -> Token {
        let credentials = try await credentials.credentials(for: repository.organization, at: repository.address)
        let ways = TokenExchange.ways(credentials, refreshToken: refreshTokens[key.place])
        var refusal: FetchFailure?
        for way in ways {
            let (head, body) = try await send(way.request(key.realm, scope: key.scope), key.realm, repository)
            if head.status == 200 {
                guard let reply = TokenReply(body) else {
                    throw FetchFailure(.upstreamError, "\(repository): the token server's answer has no token")
                }
                if refreshTokens.count >= Self.maximumEntries { refreshTokens = [:] }
                if credentials != nil, let fresh = reply.refreshToken { refreshTokens[key.place] = fresh }
                return Token(value: reply.token, expiry: clock.now + reply.lifetime - Self.skew)
            }
            let failure = Self.refusal(head, key.realm, repository)
            var isOtherWayOpen = TokenExchange.isRefusalOfTheWay(head.status)
            if case .refresh(let token) = way, isOtherWayOpen || head.status == 403 {
                // Whatever is held against it isn't held against the password.
                isOtherWayOpen = true
                if token == refreshTokens[key.place] { refreshTokens[key.place] = nil }
            }
            guard isOtherWayOpen else { throw failure }
            // Of all refusals the one of user name and password by GET says most.
            if case .get = way { refusal = failure } else if refusal == nil { refusal = failure }
        }
        throw refusal ?? FetchFailure(.upstreamError, "\(repository): there is no way to ask for a token")
    }

    private func send(
        _ request: HTTPTransportRequest,
        _ realm: TokenRealm,
        _ repository: UpstreamRepository
    ) async throws -> (HTTPTransportHead, [UInt8]) {
        var request = request
        deadlines.apply(to: &request, isSmall: true)
        do {
            let response = try await transport.send(request)
            return (response.head, try await response.collect(upTo: Self.maximumReplyBytes))
        } catch let error as HTTPTransportError {
            throw FetchFailure.transport(error, asking: repository, for: "a token from \(realm.origin.host)")
        }
    }

    /// A token server that isn't found says nothing about the image.
    private static func refusal(
        _ head: HTTPTransportHead,
        _ realm: TokenRealm,
        _ repository: UpstreamRepository
    ) -> FetchFailure {
        let failure = FetchFailure.status(head, asking: repository, for: "a token from \(realm.origin.host)")
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
            baseURL: repository.address.baseURL,
            organization: repository.organization,
            generation: repository.generation
        )
    }

    private func remember(_ scheme: Scheme, _ place: Place) {
        if schemes.count >= Self.maximumEntries { schemes = [:] }
        schemes[place] = scheme
    }
}
