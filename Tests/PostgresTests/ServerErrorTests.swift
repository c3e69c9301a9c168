// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Postgres
import TestSupport
import Testing

@Suite("What the server refuses", .timeLimit(.minutes(2)))
struct ServerErrorTests {
    @Test(
        "every state that somebody acts on is the server's number for its name",
        arguments: [
            ("foreign_key_violation", .foreignKeyViolation), ("unique_violation", .uniqueViolation),
            ("check_violation", .checkViolation), ("in_failed_sql_transaction", .inFailedTransaction),
            ("serialization_failure", .serializationFailure),
            ("deadlock_detected", .deadlockDetected), ("undefined_table", .undefinedTable),
            ("too_many_connections", .tooManyConnections), ("lock_not_available", .lockNotAvailable),
            ("query_canceled", .queryCanceled), ("admin_shutdown", .adminShutdown),
            ("cannot_connect_now", .cannotConnectNow),
        ] as [(String, SQLState)]
    )
    func states(_ name: String, _ state: SQLState) async throws {
        try await TestServer.withClient { client in
            let error = try await postgresError {
                try await client.query(
                    "DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '\(unescaped: name)'; END $$"
                )
            }
            #expect(error?.code == .server)
            #expect(error?.sqlState == state)
            #expect(error?.message == "as asked")
        }
    }

    @Test("a violated constraint is named, the row that violates it isn't shown")
    func constraint() async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            try await client.query(
                "CREATE TEMPORARY TABLE account (token text CONSTRAINT account_token UNIQUE CHECK (token <> 'never'))"
            )
            try await client.query("INSERT INTO account VALUES (\("hunter2"))")
            let twice = try await postgresError { try await client.query("INSERT INTO account VALUES (\("hunter2"))") }
            #expect(twice?.sqlState == .uniqueViolation)
            #expect(twice?.constraint == "account_token")
            #expect(twice?.description.contains("hunter2") == false)
            let never = try await postgresError { try await client.query("INSERT INTO account VALUES (\("never"))") }
            #expect(never?.sqlState == .checkViolation)
            #expect(never?.constraint == "account_token_check")
        }
    }

    @Test(
        "a bound value that its type refuses isn't shown either, though the server's message quotes it",
        arguments: ["uuid", "bigint", "timestamptz", "jsonb", "bytea", "boolean"]
    )
    func badValue(_ type: String) async throws {
        try await TestServer.withClient { client in
            let value = "\\hunter2"
            let error = try await postgresError {
                try await client.query("SELECT \(value)::\(unescaped: type)")
            }
            #expect(error?.code == .server)
            #expect(error?.sqlState?.rawValue.hasPrefix("22") == true)
            #expect(error?.description.contains("hunter2") == false)
        }
    }

    @Test("a refused statement leaves the connection usable")
    func usableAfterwards() async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            let before = try await client.backend()
            let error = try await postgresError { try await client.query("SELECT * FROM no_such_table") }
            #expect(error?.sqlState == .undefinedTable)
            #expect(try await client.backend() == before)
        }
    }

    @Test("a script runs whole or, at its first error, not at all")
    func script() async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            try await client.withConnection { connection in
                try await connection.runScript("CREATE TEMPORARY TABLE a (n int); INSERT INTO a VALUES (1), (2);")
                #expect(try await connection.number("SELECT count(*) FROM a") == 2)
                let error = try await postgresError {
                    try await connection.runScript("INSERT INTO a VALUES (3); SELECT 1/0; INSERT INTO a VALUES (4)")
                }
                #expect(error?.sqlState?.rawValue == "22012")
                #expect(try await connection.number("SELECT count(*) FROM a") == 2)
            }
        }
    }

    @Test("notices don't reach standard error")
    func notices() async throws {
        let marker = TestServer.uniqueName("notice")
        let written = try await TestServer.withClient { client in
            try await capturingStandardError {
                try await client.query("DO $$ BEGIN RAISE WARNING '\(unescaped: marker)'; END $$")
            }
        }
        #expect(!written.contains(marker))
    }

    /// Everything that this process writes to standard error meanwhile; it is passed on afterwards, because other
    /// tests may have written it.
    private func capturingStandardError(_ body: () async throws -> Void) async throws -> String {
        var path = Array("/tmp/entrepot-stderr-XXXXXX".utf8CString)
        let file = mkstemp(&path)
        unlink(path)
        let original = dup(STDERR_FILENO)
        guard file >= 0, original >= 0 else { throw TestSupportError("no descriptor to capture with") }
        defer {
            close(file)
            close(original)
        }
        dup2(file, STDERR_FILENO)
        defer { dup2(original, STDERR_FILENO) }
        try await body()
        dup2(original, STDERR_FILENO)
        let size = Int(lseek(file, 0, SEEK_END))
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = max(0, pread(file, buffer.baseAddress, size, 0))
        }
        _ = bytes.withUnsafeBytes { write(original, $0.baseAddress, $0.count) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
