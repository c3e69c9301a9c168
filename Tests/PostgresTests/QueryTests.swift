// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Postgres

@Suite("Query interpolation")
struct QueryTests {
    private struct Payload: Encodable {
        var zeta = 1
        var alpha = "a/b"
    }

    private struct Unwritable: Encodable {
        var value = Double.infinity
    }

    @Test("values become numbered binds with their types, never text of the statement")
    func binds() throws {
        let name = "'; DROP TABLE tag; --"
        let query: Query = "SELECT \(7), \(Int64(8)) FROM t WHERE name = \(name) AND live = \(true)"
        #expect(query.sql == "SELECT $1, $2 FROM t WHERE name = $3 AND live = $4")
        let (types, values) = try query.parameters()
        #expect(values == ["7", "8", name, "t"])
        #expect(types == [20, 20, 0, 16])
    }

    @Test("a literal has no binds and isn't touched")
    func literal() throws {
        let query: Query = "SELECT '$1', 'a' || \"b\""
        #expect(query.sql == "SELECT '$1', 'a' || \"b\"")
        #expect(try query.parameters().values.isEmpty)
    }

    @Test("a part that has binds of its own is put in with them, and numbered with the rest")
    func parts() throws {
        let due: Query = "queue = \("a") AND kind = \("b")"
        let nothing: Query = ""
        let query: Query = "SELECT \(1) WHERE \(due) \(nothing)OR (\(due)) LIMIT \(9)"
        #expect(query.sql == "SELECT $1 WHERE queue = $2 AND kind = $3 OR (queue = $4 AND kind = $5) LIMIT $6")
        #expect(try query.parameters().values == ["1", "a", "b", "a", "b", "9"])
        let unwritable: Query = "SELECT \(json: Unwritable())"
        let whole: Query = "SELECT (\(unwritable))"
        #expect(throws: PostgresError.self) { try whole.parameters() }
    }

    @Test("nil is NULL and keeps the type, a value in an optional is the value")
    func optionals() throws {
        let none: Int64? = nil
        let some: Int64? = 5
        let text: String? = nil
        let query: Query = "SELECT \(none), \(some), \(text)"
        #expect(query.sql == "SELECT $1, $2, $3")
        let (types, values) = try query.parameters()
        #expect(values == [nil, "5", nil])
        #expect(types == [20, 20, 0])
    }

    @Test("arrays are one bind, every element quoted")
    func arrays() throws {
        let words = ["", "a b", "NULL", #"quote " backslash \"#, "{,}"]
        let query: Query = "SELECT \([1, 2])::bigint[], \([Int64]())::bigint[], \(words)::text[]"
        #expect(query.sql == "SELECT $1::bigint[], $2::bigint[], $3::text[]")
        let (types, values) = try query.parameters()
        #expect(values == [#"{"1","2"}"#, "{}", #"{"","a b","NULL","quote \" backslash \\","{,}"}"#])
        #expect(types == [0, 0, 0])
    }

    @Test("JSON is a bind with a cast; equal values are equal texts")
    func json() throws {
        let query: Query = "INSERT INTO t VALUES (\(json: Payload()))"
        #expect(query.sql == "INSERT INTO t VALUES ($1::jsonb)")
        #expect(try query.parameters().values == [#"{"alpha":"a/b","zeta":1}"#])
    }

    @Test("a value without JSON form fails when the statement is run, naming the type")
    func unwritableJSON() throws {
        let query: Query = "SELECT \(json: Unwritable())"
        let error = #expect(throws: PostgresError.self) { _ = try query.parameters() }
        #expect(error?.code == .encode)
        #expect(error?.message.contains("Unwritable") == true)
    }

    @Test("unescaped text is part of the statement and takes no number")
    func unescaped() throws {
        let query: Query = "SELECT \(unescaped: "a, b") FROM t WHERE a = \(1) ORDER BY \(unescaped: "b") LIMIT \(2)"
        #expect(query.sql == "SELECT a, b FROM t WHERE a = $1 ORDER BY b LIMIT $2")
        #expect(try query.parameters().values == ["1", "2"])
    }

    @Test("no description of a query shows a bound value")
    func descriptions() {
        let secret = "hunter2"
        let query: Query = "SELECT \(secret), \([secret])::text[], \(json: secret), \(Optional(secret))"
        for text in ["\(query)", String(describing: query), String(reflecting: query), "\([query])"] {
            #expect(text.contains("SELECT $1"))
            #expect(!text.contains(secret))
        }
    }

    @Test("a NUL is refused before anything is sent; the error counts the bind and doesn't show it")
    func nul() {
        let query: Query = "SELECT \("fine"), \("hunter2\0")"
        let error = #expect(throws: PostgresError.self) { _ = try query.parameters() }
        #expect(error?.code == .encode)
        #expect(error?.message.contains("bind 2") == true)
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test(
        "identifiers are quoted whatever they hold",
        arguments: [
            ("job", #""job""#), ("Mixed Case", #""Mixed Case""#), (#"a"b"#, #""a""b""#), ("", #""""#),
            (#"x"; DROP TABLE y; --"#, #""x""; DROP TABLE y; --""#),
        ]
    )
    func identifiers(_ name: String, _ expected: String) {
        #expect(quoteIdentifier(name) == expected)
    }
}
