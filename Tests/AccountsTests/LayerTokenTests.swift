// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import Logging
import Metadata
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Tokens for layers", .timeLimit(.minutes(2)))
struct LayerTokenTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func with(_ body: (TokenSigner, TokenSigner) async throws -> Void) async throws {
        let database = try await PostgresCluster.shared().makeMigratedDatabase()
        let client = PostgresClient(
            PostgresConfiguration.patient(database, maximumConnections: 4),
            logger: logger
        )
        try await body(TokenSigner(client: client, logger: logger), TokenSigner(client: client, logger: logger))
        await client.close()
    }

    @Test("a token is good for its blob and no other, for half an hour, at every frontend")
    func oneBlob() async throws {
        try await Self.with { dispatcher, frontend in
            let (own, other) = (Digest.of(Array("a".utf8)), Digest.of(Array("b".utf8)))
            let now = Date()
            let token = try await dispatcher.sign(layer: own, now: now)
            #expect(try await frontend.verify(token, layer: own, now: now))
            #expect(try await frontend.verify(token, layer: own, now: now + 15 * 60))
            #expect(try await !frontend.verify(token, layer: own, now: now + 1_831))
            #expect(try await !frontend.verify(token, layer: own, now: now - 60))
            #expect(try await !frontend.verify(token, layer: other, now: now))
            #expect(try await !frontend.verify(token + "x", layer: own, now: now))
            #expect(try await !frontend.verify("", layer: own, now: now))
        }
    }

    @Test("a client's token opens no layer, and a layer's token is no client's")
    func kindsApart() async throws {
        try await Self.with { dispatcher, frontend in
            let digest = Digest.of([])
            let pull = try await dispatcher.sign([], account: nil, credential: nil, service: "entrepot")
            #expect(try await !frontend.verify(pull.token, layer: digest))
            let layer = try await dispatcher.sign(layer: digest)
            #expect(try await frontend.verify(layer, service: "entrepot") == nil)
            #expect(try await frontend.verify(layer, service: "entrepot-layer") == nil)
        }
    }
}
