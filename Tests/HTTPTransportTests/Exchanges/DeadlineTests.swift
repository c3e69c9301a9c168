// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import TestSupport
import Testing

@Suite("Deadlines")
struct DeadlineTests {
    private static let short = Duration.milliseconds(150)

    /// Sends the text after each request, and then nothing more.
    private func silentAfter(_ text: String) -> RawServer.Script {
        { connection in
            try connection.request()
            try connection.send(text)
            connection.awaitClose()
        }
    }

    private func failure(
        _ script: @escaping RawServer.Script,
        _ deadlines: HTTPTransportDeadlines
    ) async throws -> HTTPTransportError {
        try await withServer(script) { server, transport in
            let request = HTTPTransportRequest(url: server.url, deadlines: deadlines)
            let error = try await #require(throws: HTTPTransportError.self) { _ = try await transport.fetch(request) }
            let inSink = try await #require(throws: HTTPTransportError.self) {
                try await transport.receive(request, into: RecordingSink())
            }
            #expect(inSink.code == error.code)
            #expect(error.message.contains("127.0.0.1"))
            #expect(error.isTemporary)
            try await eventually("the connections are over") { server.accepted == 2 && server.open == 0 }
            return error
        }
    }

    @Test("a server that takes no connection is given up after the connect deadline")
    func connect() async throws {
        let hole = try BlackHole()
        defer { withExtendedLifetime(hole) {} }
        try await withTransport { transport in
            let start = ContinuousClock.now
            let error = try await #require(throws: HTTPTransportError.self) {
                _ = try await transport.send(
                    .init(url: "http://127.0.0.1:\(hole.port)/", deadlines: .init(connect: Self.short))
                )
            }
            #expect(error.code == .connectTimeout)
            #expect(error.isTemporary)
            #expect(ContinuousClock.now - start >= Self.short)
        }
    }

    @Test("a server that doesn't answer is given up after the first-byte deadline")
    func firstByte() async throws {
        #expect(try await failure(silentAfter(""), .init(firstByte: Self.short)).code == .firstByteTimeout)
    }

    @Test("half a head is no answer")
    func halfHead() async throws {
        let script = silentAfter("HTTP/1.1 200 OK\r\nContent-Le")
        #expect(try await failure(script, .init(firstByte: Self.short)).code == .firstByteTimeout)
    }

    @Test("an interim response is no answer")
    func interim() async throws {
        let script = silentAfter("HTTP/1.1 100 Continue\r\n\r\n")
        #expect(try await failure(script, .init(firstByte: Self.short)).code == .firstByteTimeout)
    }

    @Test("a server that falls silent in the middle is given up after the idle deadline")
    func idle() async throws {
        let script = silentAfter("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        #expect(try await failure(script, .init(idle: Self.short)).code == .idleTimeout)
    }

    @Test("the whole exchange has a deadline, in whatever phase it is")
    func total() async throws {
        for text in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"] {
            #expect(try await failure(silentAfter(text), .init(total: Self.short)).code == .totalTimeout)
        }
    }

    @Test("a server that goes on sending is stopped by the total deadline, and by no other")
    func trickle() async throws {
        let script: RawServer.Script = { connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while true {
                try connection.send("1")
                try connection.pause(milliseconds: 20)
            }
        }
        let error = try await failure(script, .init(idle: .seconds(8), total: .seconds(9)))
        #expect(error.code == .totalTimeout)
    }

    @Test("time in which nobody reads counts for the total deadline alone")
    func unread() async throws {
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(64 << 20)\r\n\r\n")
            try connection.send([UInt8](repeating: 0, count: 1 << 20), times: 64) { _ in }
        }) { server, transport in
            let deadlines = HTTPTransportDeadlines(idle: .seconds(8), total: .seconds(9))
            let response = try await transport.send(.init(url: server.url, deadlines: deadlines))
            try await eventually("the transfer was ended") { server.open == 0 }
            let error = try await #require(throws: HTTPTransportError.self) {
                for try await _ in response.body {}
            }
            #expect(error.code == .totalTimeout)
        }
    }

    @Test("a deadline of one exchange leaves the others alone")
    func others() async throws {
        let gate = Gate()
        try await ScriptedUpstream.with { upstream in
            upstream.fault("GET /", .hold(gate))
            try await withTransport { transport in
                async let patient = transport.fetch(.init(url: upstream.url + "/v2/"))
                let error = try await #require(throws: HTTPTransportError.self) {
                    _ = try await transport.send(
                        .init(url: upstream.url + "/v2/", deadlines: .init(firstByte: Self.short))
                    )
                }
                #expect(error.code == .firstByteTimeout)
                gate.open()
                #expect(try await patient.head.status == 200)
            }
        }
    }
}
