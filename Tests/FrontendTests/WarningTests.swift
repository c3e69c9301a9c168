// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import Testing

@testable import Frontend

@Suite("Warning")
struct WarningTests {
    @Test(
        "a warning is one quoted string of printable ASCII, whatever it says",
        arguments: [
            ("plain text", "plain text"),
            ("", ""),
            ("upstream says \"no\"", "upstream says 'no'"),
            ("back\\slash", "back'slash"),
            ("two\r\nlines\t\u{0}\u{7F}", "two??lines???"),
            ("entrep\u{F4}t \u{1F6A2}", "entrep?t ?"),
            ("\"\r\nSet-Cookie: a=b", "'??Set-Cookie: a=b"),
        ]
    )
    func text(_ message: String, _ expected: String) {
        #expect(Warning.text(message) == "299 - \"\(expected)\"")
    }

    @Test("a warning stays within what the specification allows, however long its cause is")
    func length() {
        for message in [String(repeating: "a", count: 5_000), String(repeating: "\u{1F6A2}", count: 5_000)] {
            let warning = Warning.text(message)
            #expect(warning.utf8.count <= 1_100)
            #expect(warning.hasPrefix("299 - \"") && warning.hasSuffix("\""))
        }
        #expect(Warning.text(String(repeating: "a", count: 1_000)).utf8.count == 1_000 + 8)
    }

    @Test("a stale answer says how old it is, and why")
    func stale() {
        let failure = FetchFailure(.unreachable, "upstream \"quay.io\" can't be reached")
        #expect(
            Warning.stale(failure, sinceCheck: .milliseconds(90_900))
                == "299 - \"served from cache, last confirmed 90 s ago: upstream 'quay.io' can't be reached\""
        )
    }

    @Test("a warning is a header value that survives as it is")
    func header() throws {
        var fields = HTTPFields()
        fields[.warning] = Warning.text("line\r\nbreak \u{FC}")
        #expect(fields[.warning] == "299 - \"line??break ?\"")
        #expect(HTTPField.isValidValue(Warning.text("line\r\nbreak")))
    }
}
