// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata
import Models
import Postgres
import Testing

@Suite struct AccessTokenStoreTests {
    private let tokens = AccessTokenStore()

    private func withAccount(_ body: (Stores, AccountID) async throws -> Void) async throws {
        try await TestDatabase.withStores { stores in
            let name = "user-" + UUID().uuidString.lowercased()
            let account = try await AccountStore().makeUser(
                AccountName(name),
                passwordHash: "",
                isSuperuser: false,
                on: stores.client
            )
            try await body(stores, try #require(account))
        }
    }

    private func make(
        _ name: String,
        _ account: AccountID,
        lifetime: Duration? = nil,
        by maker: AccessTokenID? = nil,
        on client: PostgresClient
    ) async throws -> AccessTokenID {
        let hash = (0..<32).map { _ in UInt8.random(in: 0...255) }
        return try await tokens.make(
            name,
            hash: hash,
            scopes: ["pull"],
            of: account,
            lifetime: lifetime,
            by: maker,
            on: client
        )
    }

    @Test("a token is revoked with all that were made by it, and by those")
    func makers() async throws {
        try await withAccount { stores, account in
            let leaked = try await make("leaked", account, on: stores.client)
            let second = try await make("second", account, by: leaked, on: stores.client)
            let third = try await make("third", account, by: second, on: stores.client)
            let other = try await make("other", account, on: stores.client)
            #expect(try await tokens.live(of: account, on: stores.client) == [leaked, second, third, other])
            #expect(try await tokens.revoke(leaked, of: account, on: stores.client))
            #expect(try await tokens.live(of: account, on: stores.client) == [other])
            #expect(try await !tokens.revoke(leaked, of: account, on: stores.client), "only once")
        }
    }

    @Test("what has been worthless for long is removed, and what is good comes first in lists")
    func sweep() async throws {
        try await withAccount { stores, account in
            let good = try await make("good", account, on: stores.client)
            let revoked = try await make("revoked", account, on: stores.client)
            #expect(try await tokens.revoke(revoked, of: account, on: stores.client))
            let expired = try await make("expired", account, lifetime: .seconds(-1), on: stores.client)
            func listed() async throws -> [AccessTokenID] {
                try await tokens.list(of: account, limit: 10, on: stores.client).map(\.id)
            }
            try await tokens.sweep(worthlessFor: .seconds(3_600), on: stores.client)
            #expect(try await listed() == [good, expired])
            try await tokens.sweep(worthlessFor: .zero, on: stores.client)
            #expect(try await listed() == [good])
            let rows = try await stores.client.query(
                "SELECT id FROM access_token WHERE account_id = \(account.rawValue)"
            ).decode(Int64.self)
            #expect(rows == [good.rawValue])
        }
    }

    @Test("credentials are sealed to the key that fetchers have now, be it one that was the newest before")
    func sealingKeys() async throws {
        try await TestDatabase.withStores { stores in
            let store = CredentialStore()
            for key in ["old", "new"] {
                try await store.register(keyID: key, publicKey: Array(key.utf8), on: stores.client)
            }
            func newest() async throws -> String? {
                try await store.newestKey(on: stores.client).map { String(decoding: $0, as: UTF8.self) }
            }
            #expect(try await newest() == "new")
            try await store.prefer(keyID: "new", on: stores.client)
            #expect(try await newest() == "new")
            try await store.register(keyID: "old", publicKey: Array("old".utf8), on: stores.client)
            try await store.prefer(keyID: "old", on: stores.client)
            #expect(try await newest() == "old")
        }
    }
}
