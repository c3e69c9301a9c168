// SPDX-License-Identifier: Apache-2.0

import Accounts
import Crypto
import Foundation
import JWTKit
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Tokens of the registry", .timeLimit(.minutes(2)))
struct TokenTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let service = "entrepot"
    private static let access = [
        RegistryToken.Access(type: "repository", name: "hub/library/alpine", actions: ["pull"])
    ]

    private static func withClient(_ body: (PostgresClient) async throws -> Void) async throws {
        let database = try await PostgresCluster.shared().makeMigratedDatabase()
        let client = PostgresClient(
            PostgresConfiguration.patient(database, maximumConnections: 4),
            logger: logger
        )
        do {
            try await body(client)
            await client.close()
        } catch {
            await client.close()
            throw error
        }
    }

    private static func signer(_ client: PostgresClient) -> TokenSigner { TokenSigner(client: client, logger: logger) }

    @Test("what one frontend signs another one verifies, for its service and its time only")
    func replicas() async throws {
        try await Self.withClient { client in
            let (first, second) = (Self.signer(client), Self.signer(client))
            let now = Date()
            let (token, claims) = try await first.sign(
                Self.access,
                account: nil,
                credential: nil,
                service: Self.service,
                now: now
            )
            let seen = try #require(try await second.verify(token, service: Self.service, now: now))
            #expect(seen == claims)
            #expect(seen.sub == "(anonymous)" && seen.account == nil)
            #expect(seen.allowsPull(from: try RepositoryName("hub/library/alpine")))
            #expect(!seen.allowsPull(from: try RepositoryName("hub/library/alpine2")))
            #expect(try await second.verify(token, service: "other", now: now) == nil)
            #expect(try await second.verify(token, service: Self.service, now: now + 329) != nil)
            #expect(try await second.verify(token, service: Self.service, now: now + 331) == nil)
            #expect(try await second.verify(token, service: Self.service, now: now - 31) == nil)
            let keys = try await SigningKeyStore().all(on: client)
            #expect(keys.count == 1, "one key for all")
        }
    }

    @Test("tokens that anybody else could have made are refused")
    func forged() async throws {
        try await Self.withClient { client in
            let signer = Self.signer(client)
            let (token, claims) = try await signer.sign(
                Self.access,
                account: nil,
                credential: nil,
                service: Self.service
            )
            let parts = token.split(separator: ".").map(String.init)
            let key = try #require(try await SigningKeyStore().all(on: client).first)
            func header(_ fields: String) -> String { Self.encoded(Data("{\(fields)}".utf8)) }
            let kid = "\"kid\":\"\(key.id)\""

            let foreign = P256.Signing.PrivateKey()
            let own = try P256.Signing.PrivateKey(rawRepresentation: key.privateKey)
            func signed(_ header: String, _ payload: String, _ key: P256.Signing.PrivateKey) throws -> String {
                let text = "\(header).\(payload)"
                let signature = try key.signature(for: Data(text.utf8)).rawRepresentation
                return text + "." + Self.encoded(signature)
            }
            let x = Self.encoded(foreign.publicKey.rawRepresentation.prefix(32))
            let y = Self.encoded(foreign.publicKey.rawRepresentation.suffix(32))
            let jwk = "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"\(x)\",\"y\":\"\(y)\"}"
            let hmac = HMAC<SHA256>.authenticationCode(
                for: Data("\(header("\"alg\":\"HS256\",\(kid)")).\(parts[1])".utf8),
                using: SymmetricKey(data: Data(own.publicKey.pemRepresentation.utf8))
            )
            var later = claims.exp
            later += 100_000
            let stretched = Self.encoded(
                Data(
                    "{\"iss\":\"entrepot\",\"aud\":\"entrepot\",\"sub\":\"x\",\"iat\":\(claims.iat),\"nbf\":\(claims.nbf),\"exp\":\(later),\"jti\":\"1\",\"access\":[]}"
                        .utf8
                )
            )
            let forgeries: [String: String] = [
                "none": "\(header("\"alg\":\"none\",\(kid)")).\(parts[1]).",
                "none, with the signature": "\(header("\"alg\":\"none\"")).\(parts[1]).\(parts[2])",
                "HS256 by the public key":
                    "\(header("\"alg\":\"HS256\",\(kid)")).\(parts[1]).\(Self.encoded(Data(hmac)))",
                "another key by our id": try signed(header("\"alg\":\"ES256\",\(kid)"), parts[1], foreign),
                "a key in the header": try signed(header("\"alg\":\"ES256\",\(kid),\(jwk)"), parts[1], foreign),
                "an unknown id": try signed(header("\"alg\":\"ES256\",\"kid\":\"x\",\(jwk)"), parts[1], foreign),
                "no id": try signed(header("\"alg\":\"ES256\""), parts[1], own),
                "another payload": "\(parts[0]).\(stretched).\(parts[2])",
                "our key, but too long a life": try signed(header("\"alg\":\"ES256\",\(kid)"), stretched, own),
                "our key, but no claims": try signed(
                    header("\"alg\":\"ES256\",\(kid)"),
                    Self.encoded(Data("{}".utf8)),
                    own
                ),
                "garbage": "a.b.c", "nothing": "", "points": "..", "64 kB": String(repeating: "a", count: 65_536),
            ]
            for (name, forgery) in forgeries {
                #expect(try await signer.verify(forgery, service: Self.service) == nil, "\(name)")
            }
            #expect(try await signer.verify(token, service: Self.service) != nil, "the harmless twin")
        }
    }

    @Test("scopes are read as clients write them, and refused when they are none")
    func scopes() throws {
        let read = try #require(
            TokenScope.parse(["repository:hub/a:pull,push repository:hub/b:*", "registry:catalog:*"])
        )
        #expect(read.map(\.name) == ["hub/a", "hub/b", "catalog"])
        #expect(read[0].actions == ["pull", "push"])
        #expect(TokenScope.parse(["repository:host:5000/a:pull"])?.first?.name == "host:5000/a")
        #expect(TokenScope.parse([]) == [])
        for wrong in ["repository", "repository:a", ":a:pull", "repository::pull"] {
            #expect(TokenScope.parse([wrong]) == nil, "\(wrong)")
        }
        #expect(TokenScope.parse([String(repeating: "repository:a:pull ", count: 101)]) == nil)
    }

    @Test("secret tokens are long, unlike each other, and known by their look")
    func secrets() throws {
        let (first, second) = (SecretToken(), SecretToken())
        #expect(first.text != second.text && first.hash != second.hash && first.hash.count == 32)
        #expect(SecretToken(first.text) == first)
        for wrong in ["", "entrepot_", first.text + "a", String(first.text.dropLast()), "password"] {
            #expect(SecretToken(wrong) == nil)
        }
    }

    private static func encoded(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
