// SPDX-License-Identifier: Apache-2.0

import Postgres
import TestSupport
import Testing

@Suite("COPY", .timeLimit(.minutes(2)))
struct CopyTests {
    private func withTable(
        maximumConnections: Int = 1,
        adjust: (inout PostgresConfiguration) -> Void = { _ in },
        _ body: (PostgresClient, String) async throws -> Void
    ) async throws {
        let table = TestServer.uniqueName("copied")
        try await TestServer.withClient(maximumConnections: maximumConnections, adjust: adjust) { client in
            try await client.query(
                "CREATE TABLE \(unescaped: table) (word text, number bigint, truth boolean, CHECK (number > 0))"
            )
            try await body(client, table)
        }
    }

    private func row(_ word: String?, _ number: Int?, _ truth: Bool?) -> CopyRows {
        var rows = CopyRows()
        rows.add(word)
        rows.add(number)
        rows.add(truth)
        rows.endRow()
        return rows
    }

    @Test("texts come back as they were, whatever is in them; nil is NULL")
    func texts() async throws {
        let words = ["", #"\N"#, #"\."#, "a\tb", "a\nb\r\n", #"back\slash\\"#, "NULL", "é 🦭", #"{"a":"b\"c"}"#]
        try await withTable { client, table in
            var rows = CopyRows()
            for (index, word) in words.enumerated() {
                rows.add(word)
                rows.add(index + 1)
                rows.add(index.isMultiple(of: 2))
                rows.endRow()
            }
            rows.add(String?.none)
            rows.add(Int?.none)
            rows.add(Bool?.none)
            rows.endRow()
            try await client.copy(rows, into: "\(table) (word, number, truth)")
            let found = try await client.query(
                "SELECT word, number, truth FROM \(unescaped: table) WHERE number IS NOT NULL ORDER BY number"
            ).decode((String, Int, Bool).self)
            #expect(found.map(\.0) == words)
            #expect(found.map(\.1) == Array(1...words.count))
            #expect(found.map(\.2) == words.indices.map { $0.isMultiple(of: 2) })
            #expect(
                try await client.number(
                    "SELECT count(*) FROM \(unescaped: table) WHERE word IS NULL AND number IS NULL AND truth IS NULL"
                ) == 1
            )
        }
    }

    @Test("a refused row refuses them all, and the connection goes on")
    func refused() async throws {
        try await withTable { client, table in
            let backend = try await client.backend()
            var rows = row("good", 1, nil)
            rows.add("bad")
            rows.add(0)
            rows.add(true)
            rows.endRow()
            let error = try await postgresError { try await client.copy(rows, into: "\(table) (word, number, truth)") }
            #expect(error?.code == .server)
            #expect(try await client.number("SELECT count(*) FROM \(unescaped: table)") == 0)
            #expect(try await client.backend() == backend)
        }
    }

    @Test("a table that isn't there is an error of the server's, and a NUL one of ours")
    func impossible() async throws {
        try await withTable { client, table in
            let absent = try await postgresError { try await client.copy(row("a", 1, nil), into: "\(table)_not (a)") }
            #expect(absent?.code == .server)
            let nul = try await postgresError {
                try await client.copy(row("a\0b", 1, nil), into: "\(table) (word, number, truth)")
            }
            #expect(nul?.code == .encode)
            #expect(try await client.number("SELECT count(*) FROM \(unescaped: table)") == 0)
        }
    }

    @Test("megabytes are taken, more than the server takes at once")
    func large() async throws {
        try await withTable { client, table in
            var rows = CopyRows()
            let word = String(repeating: "word ", count: 200)
            for number in 1...20_000 {
                rows.add(word)
                rows.add(number)
                rows.add(true)
                rows.endRow()
            }
            try await client.copy(rows, into: "\(table) (word, number, truth)")
            #expect(
                try await client.number("SELECT sum(length(word)) FROM \(unescaped: table)") == word.count * 20_000
            )
        }
    }

    @Test("one that can't begin in time ends as a timeout, and the connection goes on")
    func overdue() async throws {
        try await withTable(maximumConnections: 2) {
            $0.queryTimeout = .seconds(10)
        } _: { client, table in
            try await client.withTransaction { holder in
                try await holder.query("LOCK TABLE \(unescaped: table)")
                let error = try await postgresError {
                    try await client.copy(row("a", 1, nil), into: "\(table) (word, number, truth)")
                }
                #expect(error?.code == .timeout)
            }
            try await client.copy(row("b", 2, nil), into: "\(table) (word, number, truth)")
            #expect(try await client.number("SELECT sum(number) FROM \(unescaped: table)") == 2)
        }
    }
}
