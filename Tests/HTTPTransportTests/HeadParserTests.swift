// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Testing

@testable import HTTPTransport

@Suite("Response heads")
struct HeadParserTests {
    /// Feeds lines until a head is complete.
    private func parse(_ lines: [String], limit: Int = 4_096) throws -> HTTPTransportHead? {
        try parse(lines.map { Array(($0 + "\r\n").utf8) }, limit: limit)
    }

    private func parse(_ lines: [[UInt8]], limit: Int = 4_096) throws -> HTTPTransportHead? {
        var parser = HeadParser(maximumBytes: limit)
        for line in lines {
            let head = try line.withUnsafeBytes { bytes in try parser.append(bytes, peer: "192.0.2.1") }
            if let head { return head }
        }
        return nil
    }

    private func name(_ text: String) throws -> HTTPField.Name { try #require(HTTPField.Name(text)) }

    @Test("status, version, fields and peer are kept")
    func plain() throws {
        let head = try #require(try parse(["HTTP/1.1 200 OK", "Content-Length: 5", "ETag: \"a b\"", ""]))
        #expect(head.status == 200)
        #expect(head.httpVersion == "HTTP/1.1")
        #expect(head.peerAddress == "192.0.2.1")
        #expect(head.headers[.contentLength] == "5")
        #expect(head.headers[.eTag] == "\"a b\"")
    }

    @Test("a head is complete with its empty line, not before")
    func incomplete() throws {
        #expect(try parse(["HTTP/1.1 200 OK", "A: 1"]) == nil)
        #expect(try parse([""]) == nil)
    }

    @Test("repeated fields keep their order")
    func repeated() throws {
        let head = try #require(
            try parse(["HTTP/1.1 401 No", "WWW-Authenticate: Basic", "www-authenticate: Bearer x", ""])
        )
        #expect(head.headers[values: .wwwAuthenticate] == ["Basic", "Bearer x"])
    }

    @Test("interim responses are passed over, and leave no field behind")
    func interim() throws {
        let head = try #require(
            try parse([
                "HTTP/1.1 100 Continue", "", "HTTP/1.1 103 Early Hints", "Link: </x>", "Location: http://evil.example/",
                "", "HTTP/1.1 200 OK", "A: 1", "",
            ])
        )
        #expect(head.status == 200)
        #expect(head.headers.map(\.name.canonicalName) == ["a"])
    }

    @Test("an interim response alone is no head")
    func onlyInterim() throws {
        #expect(try parse(["HTTP/1.1 100 Continue", ""]) == nil)
    }

    @Test(
        "a line that is no field is dropped, its neighbours are not",
        arguments: [
            " folded: value", "\tfolded", "no colon", ": no name", "a name: with a blank", "n\u{E4}me: x", "Name : x",
        ]
    )
    func oddLines(_ line: String) throws {
        let head = try #require(try parse(["HTTP/1.1 200 OK", "Before: 1", line, "After: 2", ""]))
        #expect(head.headers.map(\.name.canonicalName) == ["before", "after"])
        #expect(head.headers.map(\.value) == ["1", "2"])
    }

    @Test(
        "values lose the blanks around them and nothing else",
        arguments: [("A:1", "1"), ("A: \t 1 2 ", "1 2"), ("A:", ""), ("A: a:b", "a:b"), ("A: \"q\"", "\"q\"")]
    )
    func values(_ line: String, _ value: String) throws {
        let head = try #require(try parse(["HTTP/1.1 200 OK", line, ""]))
        #expect(head.headers[try name("A")] == value)
    }

    @Test("bytes that no field may have do no harm")
    func oddBytes() throws {
        let head = try #require(
            try parse([Array("HTTP/1.1 200 OK\n".utf8), Array("A: x".utf8) + [0, 0xFF, 0x0A], Array("\n".utf8)])
        )
        let value = try #require(head.headers[try name("A")])
        #expect(value.hasPrefix("x"))
        #expect(!value.unicodeScalars.contains { $0.value < 0x20 })
    }

    @Test(
        "status lines of every version are read",
        arguments: [
            ("HTTP/1.0 200 OK", 200, "HTTP/1.0"), ("HTTP/1.1 404", 404, "HTTP/1.1"), ("HTTP/2 204 ", 204, "HTTP/2"),
            ("HTTP/1.1 599 Very Long Reason: with colon", 599, "HTTP/1.1"), ("HTTP/1.1 999 x", 999, "HTTP/1.1"),
        ] as [(String, Int, String)]
    )
    func statusLines(_ line: String, _ status: Int, _ version: String) throws {
        let head = try #require(try parse([line, ""]))
        #expect(head.status == status)
        #expect(head.httpVersion == version)
    }

    @Test(
        "a status line without a status is a protocol error",
        arguments: ["HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 abc", "HTTP/1.1 99 x", "HTTP/1.1 1000 x", "HTTP/1.1 -200 x"]
    )
    func badStatusLines(_ line: String) {
        let error = #expect(throws: HTTPTransportError.self) { _ = try parse([line, ""]) }
        #expect(error?.code == .protocolError)
    }

    @Test("a header may have as many bytes as are allowed, and not one more")
    func limit() throws {
        let lines = ["HTTP/1.1 200 OK", "A: 1", ""]  // with their ends: 17 + 6 + 2
        #expect(try parse(lines, limit: 25)?.status == 200)
        let error = #expect(throws: HTTPTransportError.self) { _ = try parse(lines, limit: 24) }
        #expect(error?.code == .headerTooLarge)
    }

    @Test("interim responses count: a server can't send them without end")
    func limitOfInterim() {
        let lines = Array(repeating: ["HTTP/1.1 100 Continue", ""], count: 1_000).flatMap { $0 }
        let error = #expect(throws: HTTPTransportError.self) { _ = try parse(lines) }
        #expect(error?.code == .headerTooLarge)
    }
}
