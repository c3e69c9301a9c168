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
        "If-Match compares strongly, over all values, and holds when there is none",
        arguments: [
            ([], true), (["\"\(Samples.zeros)\""], true), (["*"], true), ([" * "], true),
            (["\"a\" ,\t\"\(Samples.zeros)\""], true), (["\"a\"", "\"\(Samples.zeros)\""], true),
            (["W/\"\(Samples.zeros)\""], false), (["\"\(Samples.ones)\""], false), ([Samples.zeros], false),
            ([""], false), (["\"*\""], false), (["\"a,\(Samples.zeros)\""], false),
        ]
    )
    func match(_ values: [String], _ holds: Bool) {
        let error = registryError { () throws(RegistryError) in try tag.checkIfMatch(values) }
        #expect(error?.status == (holds ? nil : 412))
        #expect(error?.code == (holds ? nil : RegistryError.Code.unsupported))
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
