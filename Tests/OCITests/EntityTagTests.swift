// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct EntityTagTests {
    private let tag: EntityTag

    init() throws {
        tag = EntityTag(try Digest(Samples.zeros))
    }

    @Test("the tag is the digest in quotes")
    func rendered() {
        #expect(tag.rawValue == "\"\(Samples.zeros)\"")
        #expect("\(tag)" == tag.rawValue)
    }

    @Test(
        "If-None-Match compares weakly, over all values",
        arguments: [
            (["\"\(Samples.zeros)\""], true), (["W/\"\(Samples.zeros)\""], true), (["*"], true), ([" * "], true),
            (["\"a\", \"\(Samples.zeros)\""], true), (["\"a\"", "\"b\" ,\t\"\(Samples.zeros)\""], true),
            ([Samples.zeros], true), (["\"a,b\",\"\(Samples.zeros)\""], true),
            ([], false), ([""], false), (["\"\""], false), (["\"a\""], false), (["\"\(Samples.ones)\""], false),
            (["w/\"\(Samples.zeros)\""], false), (["\"a,\(Samples.zeros)\""], false), (["\"\(Samples.zeros)"], false),
            (["\"\(Samples.zeros.uppercased())\""], false), (["W/*"], false), (["\"*\""], false),
        ]
    )
    func noneMatch(_ values: [String], _ expected: Bool) {
        #expect(tag.ifNoneMatch(values) == expected)
    }

    @Test(
        "If-Range compares strongly, and a date never matches",
        arguments: [
            ("\"\(Samples.zeros)\"", true), (" \"\(Samples.zeros)\" ", true), ("W/\"\(Samples.zeros)\"", false),
            ("\"\(Samples.ones)\"", false), (Samples.zeros, false), ("*", false), ("", false),
            ("Sat, 29 Oct 1994 19:43:31 GMT", false), ("\"\(Samples.zeros)\",\"\(Samples.ones)\"", false),
        ]
    )
    func range(_ value: String, _ expected: Bool) {
        #expect(tag.ifRange(value) == expected)
    }
}
