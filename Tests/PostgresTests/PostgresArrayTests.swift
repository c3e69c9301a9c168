// SPDX-License-Identifier: Apache-2.0

import Postgres
import Testing

@Suite("Arrays in PostgreSQL's text format")
struct PostgresArrayTests {
    @Test(
        "arrays of text",
        arguments: [
            ("{}", []), ("{a}", ["a"]), ("{a,b c,d}", ["a", "b c", "d"]),
            (#"{"a,b","c\"d","e\\f",""}"#, ["a,b", "c\"d", "e\\f", ""]),
            (#"{"NULL"}"#, ["NULL"]),
        ]
    )
    func text(_ text: String, _ expected: [String]) {
        #expect([String](postgresText: text) == expected)
    }

    @Test(
        "what is no array, has NULLs or more dimensions, isn't read",
        arguments: ["", "a", "{", "{a,}", "{,a}", "{NULL}", "{{a}}", #"{"a}"#]
    )
    func refused(_ text: String) {
        #expect([String](postgresText: text) == nil)
    }

    @Test("arrays of numbers")
    func numbers() {
        #expect([Int64](postgresText: "{1,-2}") == [1, -2])
        #expect([Int64](postgresText: "{1,x}") == nil)
    }
}
