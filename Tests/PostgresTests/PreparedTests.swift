// SPDX-License-Identifier: Apache-2.0

import Postgres
import TestSupport
import Testing

@Suite("Prepared statements")
struct PreparedTests {
    @Test("one that is run again is planned once for its connection, with the values of each time")
    func twice() async throws {
        try await TestServer.withClient { client in
            try await client.withConnection { connection in
                for number in 0..<3 {
                    let sum = try await connection.query(prepared: "SELECT \(number) + \(10 * number)")
                        .decodeFirst(Int.self)
                    #expect(sum == 11 * number)
                }
                let kept = try await connection.query("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql")
                    .decodeFirst(Int.self)
                #expect(kept == 1)
            }
        }
    }

    @Test("one that fails leaves nothing behind, and the next one works, in a transaction that went wrong, too")
    func failure() async throws {
        try await TestServer.withClient { client in
            try await client.withConnection { connection in
                let wrong: Query = "SELECT \(1) FROM nowhere"
                await #expect(throws: PostgresError.self) { try await connection.query(prepared: wrong) }
                let right: Query = "SELECT \(1)"
                let before = try await connection.query(prepared: right).decodeFirst(Int.self)
                #expect(before == 1)
                let divided: Query = "SELECT 1 / \(0)"
                await #expect(throws: PostgresError.self) { try await connection.query(prepared: divided) }
                let after = try await connection.query(prepared: right).decodeFirst(Int.self)
                #expect(after == 1)
            }
        }
    }

    @Test("a name that the server has taken although it wasn't heard of costs one statement, not the connection")
    func taken() async throws {
        try await TestServer.withClient { client in
            try await client.withConnection { connection in
                try await connection.query("PREPARE entrepot_0 AS SELECT 1")
                let statement: Query = "SELECT \(2)"
                await #expect(throws: PostgresError.self) { try await connection.query(prepared: statement) }
                let two = try await connection.query(prepared: statement).decodeFirst(Int.self)
                #expect(two == 2)
            }
        }
    }
}
