// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Upstream

@Suite("Content-Range")
struct ContentRangeTests {
    @Test(
        "first byte and size are read",
        arguments: [
            ("bytes 0-0/1", 0, 1), ("bytes 0-499/1234", 0, 1_234), ("bytes 500-1233/1234", 500, 1_234),
            ("bytes 42-1233/*", 42, nil), ("bytes 0-9223372036854775806/9223372036854775807", 0, .max),
        ] as [(String, Int64, Int64?)]
    )
    func read(_ value: String, _ first: Int64, _ total: Int64?) throws {
        let range = try #require(ContentRange(value))
        #expect(range.first == first)
        #expect(range.total == total)
    }

    @Test(
        "anything but one well-formed byte range is none",
        arguments: [
            nil, "", "bytes", "bytes ", "bytes */1234", "bytes 0-499", "bytes 0-499/", "bytes 0-/10", "bytes -5/10",
            "bytes 5-4/10", "bytes 0-10/10", "bytes 0-10/5", "bytes 0-1/2/3", "bytes 0-1-2/3", "bytes a-b/c",
            "bytes -1-5/10", "bytes 0--5/10", "bytes 0-5/-10", "items 0-1/2", "bytes=0-1/2", "0-1/2", " bytes 0-1/2",
            "bytes 0-99999999999999999999/*", "bytes 99999999999999999999-99999999999999999999/*", "bytes 0-1,3-4/10",
        ] as [String?]
    )
    func none(_ value: String?) {
        #expect(ContentRange(value) == nil)
    }
}
