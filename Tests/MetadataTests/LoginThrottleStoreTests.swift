// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import Postgres
import TestSupport
import Testing

@Suite("Failed logins", .timeLimit(.minutes(2)))
struct LoginThrottleStoreTests {
    @Test("failures are counted by key, forgotten after their time, and then swept away unless a block lasts")
    func forgetting() async throws {
        try await TestDatabase.withClient(of: try await PostgresCluster.shared().makeMigratedDatabase()) { client in
            let store = LoginThrottleStore()
            #expect(try await store.fail(["a", "b"], on: client) == ["a": 1, "b": 1])
            #expect(try await store.fail(["a"], on: client) == ["a": 2])
            try await store.setBlock(.seconds(3_600), of: "b", on: client)
            #expect(try await store.block(of: ["a", "b"], on: client) > .seconds(3_500))
            #expect(try await store.block(of: ["a"], on: client) == .zero)
            try await client.query("UPDATE login_throttle SET last_failed_at = now() - interval '901 seconds'")
            _ = try await store.fail(["c"], on: client)
            try await store.sweep(on: client)
            let left = try await client.query("SELECT key FROM login_throttle ORDER BY key").decode(String.self)
            #expect(left == ["b", "c"], "b is blocked still, c has just failed")
            #expect(try await store.fail(["b"], on: client) == ["b": 1], "begins anew")
        }
    }
}
