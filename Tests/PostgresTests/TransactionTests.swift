// SPDX-License-Identifier: Apache-2.0

import Postgres
import TestSupport
import Testing

@Suite("Transactions", .timeLimit(.minutes(2)))
struct TransactionTests {
    private struct Refusal: Error {}

    /// A client with an empty table of numbers that all connections see.
    private func withTable(
        maximumConnections: Int = 2,
        _ body: (PostgresClient, String) async throws -> Void
    ) async throws {
        try await TestServer.withClient(maximumConnections: maximumConnections) { client in
            let table = TestServer.uniqueName("numbers")
            try await client.query("CREATE TABLE \(unescaped: table) (n bigint)")
            try await body(client, table)
        }
    }

    private func numbers(_ table: String, on db: some Queryable) async throws -> [Int] {
        try await db.query("SELECT n FROM \(unescaped: table) ORDER BY n").decode(Int.self)
    }

    @Test("what a transaction wrote is there for others when it returns, and not before")
    func commit() async throws {
        try await withTable { client, table in
            let result = try await client.withTransaction { transaction in
                try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1)")
                #expect(try await numbers(table, on: transaction) == [1])
                #expect(try await numbers(table, on: client).isEmpty)
                return "done"
            }
            #expect(result == "done")
            #expect(try await numbers(table, on: client) == [1])
        }
    }

    @Test("a transaction that throws leaves nothing behind, and its error comes out as it was")
    func rollbackOnThrow() async throws {
        try await withTable(maximumConnections: 1) { client, table in
            let before = try await client.backend()
            await #expect(throws: Refusal.self) {
                try await client.withTransaction { transaction in
                    try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1)")
                    throw Refusal()
                }
            }
            #expect(try await numbers(table, on: client).isEmpty)
            #expect(try await client.backend() == before, "the connection is good for the next one")
        }
    }

    @Test("a statement that the server refuses undoes the transaction")
    func rollbackOnServerError() async throws {
        try await withTable(maximumConnections: 1) { client, table in
            let error = try await postgresError {
                try await client.withTransaction { transaction in
                    try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1)")
                    try await transaction.query("SELECT * FROM no_such_table")
                }
            }
            #expect(error?.sqlState == .undefinedTable)
            #expect(try await numbers(table, on: client).isEmpty)
        }
    }

    @Test("a transaction whose body swallows a server error doesn't pass for committed")
    func swallowedError() async throws {
        try await withTable(maximumConnections: 1) { client, table in
            let error = try await postgresError {
                try await client.withTransaction { transaction in
                    try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1)")
                    _ = try? await transaction.query("SELECT * FROM no_such_table")  // what this test is about
                }
            }
            #expect(error?.code == .server)
            #expect(error?.sqlState == .inFailedTransaction)
            #expect(try await numbers(table, on: client).isEmpty)
            try await client.withTransaction { transaction in
                _ = try await transaction.query("INSERT INTO \(unescaped: table) VALUES (2)")
            }
            #expect(try await numbers(table, on: client) == [2])
        }
    }

    @Test("a deferred constraint that fails at the end fails the transaction")
    func deferredConstraint() async throws {
        try await withTable(maximumConnections: 1) { client, table in
            try await client.query(
                "ALTER TABLE \(unescaped: table) ADD CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED"
            )
            let error = try await postgresError {
                try await client.withTransaction { transaction in
                    _ = try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1), (1)")
                }
            }
            #expect(error?.sqlState == .uniqueViolation)
            #expect(try await numbers(table, on: client).isEmpty)
        }
    }

    @Test("cancelled in the middle of a statement, a transaction is undone and its connection goes on")
    func cancelledInStatement() async throws {
        try await TestServer.withClient { watcher in
            try await withTable(maximumConnections: 1) { client, table in
                let before = try await client.backend()
                let work = Task {
                    try await client.withTransaction { transaction in
                        try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1)")
                        try await transaction.query("SELECT pg_sleep(60)")
                    }
                }
                try await watcher.untilAsleep(before)
                work.cancel()
                await #expect(throws: CancellationError.self) { try await work.value }
                #expect(try await numbers(table, on: client).isEmpty)
                #expect(try await client.backend() == before)
            }
        }
    }

    @Test("cancelled between two statements, a transaction isn't committed")
    func cancelledBetweenStatements() async throws {
        try await withTable(maximumConnections: 1) { client, table in
            let before = try await client.backend()
            let isInside = Latch()
            let work = Task {
                defer { isInside.open() }  // a failure is waited for no longer
                try await client.withTransaction { transaction in
                    try await transaction.query("INSERT INTO \(unescaped: table) VALUES (1)")
                    isInside.open()
                    await Latch().wait()  // nobody opens it: returns when the task is cancelled
                }
            }
            await isInside.wait()
            work.cancel()
            await #expect(throws: CancellationError.self) { try await work.value }
            #expect(try await numbers(table, on: client).isEmpty)
            #expect(try await client.backend() == before)
        }
    }

    @Test(
        "the isolation level is the one that was asked for",
        arguments: [
            (.readCommitted, "read committed"), (.repeatableRead, "repeatable read"), (.serializable, "serializable"),
        ] as [(IsolationLevel, String)]
    )
    func isolation(_ level: IsolationLevel, _ expected: String) async throws {
        try await TestServer.withClient { client in
            let shown = try await client.withTransaction(isolation: level) { transaction in
                try await transaction.query("SHOW transaction_isolation").decodeFirst(String.self)
            }
            #expect(shown == expected)
        }
    }
}
