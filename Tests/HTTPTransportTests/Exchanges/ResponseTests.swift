// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Synchronization
import TestSupport
import Testing

@Suite("Responses")
struct ResponseTests {
    @Test("a redirect is an answer like any other", arguments: [301, 302, 303, 307, 308])
    func redirect(_ status: Int) async throws {
        let answer = "HTTP/1.1 \(status) Elsewhere\r\nLocation: /other\r\nContent-Length: 4\r\n\r\nmove"
        try await withServer(answering(answer)) { server, transport in
            let (head, text) = try await transport.fetch(.init(url: server.url + "/first"))
            #expect(head.status == status)
            #expect(head.headers[.location] == "/other")
            #expect(text == "move")
            #expect(server.requests.map(\.line) == ["GET /first HTTP/1.1"])
        }
    }

    @Test("nothing is decompressed", arguments: ["gzip", "deflate", "br", "zstd", "nonsense"])
    func encoding(_ encoding: String) async throws {
        let body = "\u{1F}not really compressed"
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Encoding: \(encoding)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        try await withServer(answering(answer)) { server, transport in
            let headers: HTTPFields = [.acceptEncoding: encoding]
            let (head, text) = try await transport.fetch(.init(url: server.url, headers: headers))
            #expect(head.headers[.contentEncoding] == encoding)
            #expect(text == body)
        }
    }

    @Test(
        "a body ends where its framing says",
        arguments: [
            ("Content-Length: 5\r\n\r\nhello", "hello"), ("Content-Length: 0\r\n\r\n", ""),
            ("Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n", "hello"),
            ("Connection: close\r\n\r\nhello", "hello"),
        ]
    )
    func framing(_ rest: String, _ body: String) async throws {
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\n" + rest)
        }) { server, transport in
            let (head, text) = try await transport.fetch(.init(url: server.url))
            #expect(text == body)
            #expect(head.headers.allSatisfy { $0.name.canonicalName != "trailer" })
            let sink = RecordingSink()
            #expect(try await transport.receive(.init(url: server.url), into: sink).status == 200)
            #expect(sink.head?.status == 200)
            #expect(sink.bytes == Array(body.utf8))
        }
    }

    @Test("responses without a body end with their head", arguments: [204, 304])
    func bodiless(_ status: Int) async throws {
        try await withServer(answering("HTTP/1.1 \(status) x\r\n\r\n")) { server, transport in
            for _ in 0..<2 {
                let (head, text) = try await transport.fetch(.init(url: server.url))
                #expect(head.status == status)
                #expect(text.isEmpty)
            }
            #expect(server.accepted == 1)
        }
    }

    @Test("interim responses are passed over")
    func interim() async throws {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        try await withServer(answering(early + early + ok("x"))) { server, transport in
            let (head, text) = try await transport.fetch(.init(url: server.url))
            #expect(head.status == 200)
            #expect(head.headers.map(\.name.canonicalName) == ["content-length"])
            #expect(text == "x")
        }
    }

    @Test("the head is there before the body is")
    func headFirst() async throws {
        let gate = Gate()
        let image = ImageFixture.single(seed: 1, size: 100_000)
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a")
            upstream.fault("/blobs/", .stall(after: 0, gate))
            try await withTransport { transport in
                let response = try await transport.send(
                    .init(url: upstream.url + "/v2/a/blobs/\(image.blobs[1].digest)")
                )
                #expect(response.head.headers[.contentLength] == "100000")
                gate.open()
                #expect(try await response.collect(upTo: 100_000) == image.blobs[1].bytes(0..<100_000))
            }
        }
    }

    @Test("a body larger than the caller takes is an error, and isn't read on")
    func tooLarge() async throws {
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n123456")
            connection.awaitClose()
        }) { server, transport in
            let error = try await #require(throws: HTTPTransportError.self) {
                let response = try await transport.send(.init(url: server.url))
                _ = try await response.collect(upTo: 5)
            }
            #expect(error.code == .bodyTooLarge)
            #expect(!error.isTemporary)
            try await eventually("the connection is over") { server.open == 0 }
        }
    }

    @Test("a body may be as large as the caller takes")
    func justFits() async throws {
        try await withServer(answering(ok("12345"))) { server, transport in
            let response = try await transport.send(.init(url: server.url))
            #expect(try await response.collect(upTo: 5) == Array("12345".utf8))
        }
    }

    @Test("a sender waits for its reader, which then gets every byte, however long it took")
    func backPressure() async throws {
        let piece = BlobFixture(seed: 3, size: 1 << 20).bytes
        let count = 24
        let (stalls, stalled) = AsyncStream.makeStream(of: Int.self)
        try await withServer({ connection in
            defer { stalled.finish() }
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(count << 20)\r\n\r\n")
            try connection.send(piece, times: count) { stalled.yield($0) }
            connection.awaitClose()
        }) { server, transport in
            // Not reading isn't idling: the server takes longer to notice that nothing moves.
            let deadlines = HTTPTransportDeadlines(idle: .seconds(8))
            let response = try await transport.send(.init(url: server.url, deadlines: deadlines))
            // Each is told after 0.4 seconds: together they are longer than the deadline.
            let sent = await stalls.prefix(21).reduce(0) { $1 }
            #expect(sent < 8 << 20)
            var received = 0
            var isRight = true
            for try await chunk in response.body {
                let start = received % piece.count
                let first = min(chunk.count, piece.count - start)
                isRight =
                    isRight && chunk[..<first] == piece[start..<start + first]
                    && chunk[first...] == piece[..<(chunk.count - first)]
                received += chunk.count
            }
            #expect(received == count << 20)
            #expect(isRight)
        }
    }

    @Test("letting go of an unread body ends its transfer")
    func abandoned() async throws {
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n123456")
            connection.awaitClose()
        }) { server, transport in
            #expect(try await transport.send(.init(url: server.url)).head.status == 200)
            try await eventually("the connection is over") { server.accepted == 1 && server.open == 0 }
        }
    }

    @Test("a reader that leaves in the middle ends its transfer")
    func leftInTheMiddle() async throws {
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n123456")
            connection.awaitClose()
        }) { server, transport in
            for try await chunk in try await transport.send(.init(url: server.url)).body {
                #expect(!chunk.isEmpty)
                break
            }
            try await eventually("the connection is over") { server.accepted == 1 && server.open == 0 }
        }
    }
}
