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
            #expect(try await store.count(["a", "b"], on: client) == ["a": 1, "b": 1])
            #expect(try await store.count(["a"], on: client) == ["a": 2])
            try await store.setBlock(.seconds(3_600), of: "b", on: client)
            #expect(try await store.block(of: ["a", "b"], on: client) > .seconds(3_500))
            #expect(try await store.block(of: ["a"], on: client) == .zero)
            #expect(try await store.count(["a", "b"], on: client) == ["a": 3], "what is blocked isn't counted")
            try await client.query("UPDATE login_throttle SET last_failed_at = now() - interval '901 seconds'")
            _ = try await store.count(["c"], on: client)
            try await store.sweep(on: client)
            let left = try await client.query("SELECT key FROM login_throttle ORDER BY key").decode(String.self)
            #expect(left == ["b", "c"], "b is blocked still, c has just failed")
            try await client.query("UPDATE login_throttle SET blocked_until = '-infinity'")
            #expect(try await store.count(["b"], on: client) == ["b": 1], "begins anew")
        }
    }

    @Test("a failure that is forgiven blocks nobody, not for a moment either")
    func forgiven() async throws {
        try await TestDatabase.withClient(of: try await PostgresCluster.shared().makeMigratedDatabase()) { client in
            let store = LoginThrottleStore()
            _ = try await store.count(["a"], on: client)
            try await client.withTransaction { transaction in
                // What begins now is asked about by the time at which it began.
                try await transaction.query("SELECT now()")
                try await store.fail("a", block: .zero, on: client)
                #expect(try await store.count(["a"], on: transaction) == ["a": 2])
            }
        }
    }

    @Test("an attempt that is taken back leaves the count, the age and the blocks of the others as they were")
    func takingBack() async throws {
        try await TestDatabase.withClient(of: try await PostgresCluster.shared().makeMigratedDatabase()) { client in
            let store = LoginThrottleStore()
            func age() async throws -> Double {
                let age = try await client.query(
                    "SELECT extract(epoch FROM now() - last_failed_at)::float8 FROM login_throttle"
                ).decodeFirst(Double.self)
                return try #require(age)
            }
            _ = try await store.count(["a"], on: client)
            try await client.query("UPDATE login_throttle SET last_failed_at = now() - interval '800 seconds'")
            #expect(try await store.count(["a"], on: client) == ["a": 2])
            try await store.takeBack("a", on: client)
            #expect(try await age() > 700, "nothing has failed since")
            #expect(try await store.count(["a"], on: client) == ["a": 2])
            #expect(try await store.count(["a"], on: client) == ["a": 3])
            try await store.fail("a", block: .seconds(3_600), on: client)
            #expect(try await age() < 700)
            for _ in 0..<2 { try await store.takeBack("a", on: client) }
            #expect(try await store.block(of: ["a"], on: client) > .seconds(3_500), "another one's block")
            try await client.query("UPDATE login_throttle SET blocked_until = '-infinity'")
            for _ in 0..<3 { try await store.takeBack("a", on: client) }
            #expect(try await store.count(["a"], on: client) == ["a": 1])
        }
    }
}
