// SPDX-License-Identifier: Apache-2.0

import Crypto
package import Foundation
import JWTKit
package import Logging
import Metadata
package import Models
package import Postgres
import PullThrough
import ServiceLifecycle
import Synchronization

/// Signs the registry's tokens and verifies them, with keys that all frontends share through the database (ES256).
///
/// Only our own keys count: what a token's header says of keys (`jwk`, `jku`, `x5c`) is not read, and the algorithm is
/// the key's.
package final class TokenSigner: Service {
    package static let issuer = "entrepot"
    /// The longest token that is looked at.
    private static let maximumBytes = 8_192
    /// Long enough for the requests of one pull; what changes meanwhile is looked up at each request anyhow.
    package static let lifetime: Duration = .seconds(300)
    static let skew: Int64 = 30
    /// A new key takes over after so long.
    private static let keyAge: Duration = .seconds(30 * 86_400)
    /// An old one has nothing left to verify after so long.
    private static let keyRetirement: Duration = .seconds(31 * 86_400)
    /// A key that is younger may be unknown to other frontends yet.
    private static let settling: Duration = .seconds(10)
    private static let refreshInterval: Duration = .seconds(60)

    private struct Keys {
        var collection: JWTKeyCollection
        var known: Set<String> = []
        var signing: String?
        var readAt: ContinuousClock.Instant?
    }

    private let client: PostgresClient
    private let logger: Logger
    private let store = SigningKeyStore()
    private let keys = Mutex(Keys(collection: JWTKeyCollection()))
    private let verified = BoundedCache<String, RegistryToken>(maximumCost: 20_000, lifetime: .seconds(600))

    package init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// Keeps the keys fresh until cancelled.
    package func run() async throws {
        while !Task.isCancelled {
            do { try await refresh() } catch is CancellationError { return } catch {
                logger.warning("signing keys can't be read", metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: Self.refreshInterval) } catch { return }
        }
    }

    /// Signs a token.
    /// - Parameter service: whom it is for
    package func sign(
        _ access: [RegistryToken.Access],
        account: Account?,
        credential: AccessTokenID?,
        service: String,
        now: Date = Date()
    ) async throws -> (token: String, claims: RegistryToken) {
        let seconds = Int64(now.timeIntervalSince1970)
        let claims = RegistryToken(
            iss: Self.issuer,
            aud: service,
            sub: account?.name.rawValue ?? RegistryToken.anonymous,
            iat: seconds,
            nbf: seconds,
            exp: seconds + Self.lifetime.components.seconds,
            jti: UUID().uuidString.lowercased(),
            access: access,
            account: account?.id,
            credential: credential,
            generation: credential == nil ? account?.passwordGeneration : nil
        )
        return (try await sign(claims), claims)
    }

    /// Signs claims with the key of the moment.
    func sign(_ claims: some JWTPayload) async throws -> String {
        if keys.withLock(\.signing) == nil { try await refresh() }
        let (collection, signing) = keys.withLock { ($0.collection, $0.signing) }
        guard let signing else { throw AccountsError("there is no signing key") }
        return try await collection.sign(claims, kid: JWKIdentifier(string: signing))
    }

    /// The token's claims; nil unless it is one of ours, for this service, and of this time.
    package func verify(_ token: String, service: String, now: Date = Date()) async throws -> RegistryToken? {
        let claims: RegistryToken
        if let known = verified[token] {
            claims = known
        } else {
            guard let found = try await check(token, as: RegistryToken.self) else { return nil }
            verified.insert(found, for: token)
            claims = found
        }
        let seconds = Int64(now.timeIntervalSince1970)
        guard claims.iss == Self.issuer, claims.aud == service, claims.nbf <= seconds + Self.skew,
            claims.exp > seconds - Self.skew, claims.exp - claims.iat <= Self.lifetime.components.seconds
        else { return nil }
        return claims
    }

    /// The claims of a token that has our signature, whatever they say; nil for any other.
    func check<Claims: JWTPayload>(_ token: String, as type: Claims.Type) async throws -> Claims? {
        guard token.utf8.count <= Self.maximumBytes, let kid = Self.keyID(of: token) else { return nil }
        // Another frontend may have made it a moment ago.
        if !keys.withLock({ $0.known.contains(kid) }), mayAskAgain { try await refresh() }
        let (collection, isKnown) = keys.withLock { ($0.collection, $0.known.contains(kid)) }
        guard isKnown else { return nil }
        do {
            return try await collection.verify(token, as: type)
        } catch {
            logger.debug("token refused", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    private var mayAskAgain: Bool {
        keys.withLock { $0.readAt.map { ContinuousClock.now - $0 > .seconds(1) } ?? true }
    }

    private static func keyID(of token: String) -> String? {
        struct Header: Decodable { let kid: String? }
        guard let header = token.split(separator: ".", omittingEmptySubsequences: false).first else { return nil }
        var text = header.replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        guard let data = Data(base64Encoded: String(text)) else { return nil }
        return (try? JSONDecoder().decode(Header.self, from: data))?.kid  // anything else is no token of ours
    }

    /// Reads the keys, and makes one when there is none that is young enough.
    private func refresh() async throws {
        var found = try await store.all(on: client)
        if found.first.map({ $0.age >= Self.keyAge }) ?? true {
            let key = P256.Signing.PrivateKey()
            try await store.rotate(
                id: UUID().uuidString.lowercased(),
                privateKey: Array(key.rawRepresentation),
                unlessYoungerThan: Self.keyAge,
                retirement: Self.keyRetirement,
                on: client
            )
            found = try await store.all(on: client)
        }
        let collection = JWTKeyCollection()
        for key in found {
            let privateKey = try P256.Signing.PrivateKey(rawRepresentation: key.privateKey)
            await collection.add(ecdsa: try ES256PrivateKey(backing: privateKey), kid: JWKIdentifier(string: key.id))
        }
        let signing = found.first { $0.age >= Self.settling } ?? found.first
        keys.withLock { keys in
            keys.collection = collection
            keys.known = Set(found.map(\.id))
            keys.signing = signing?.id
            keys.readAt = .now
        }
    }
}

/// What went wrong inside, and is nobody's fault who asked.
package struct AccountsError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
