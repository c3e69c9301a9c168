// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import TestSupport
import Testing

/// Exchanges run in tasks of their own: only a task that is at hand can be cancelled.
@Suite("Cancellation and shutdown")
struct CancellationTests {
    private static let part = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n123456"

    /// Reads the request, sends the text, and nothing more.
    private static func silentAfter(_ text: String) -> RawServer.Script {
        { connection in
            try connection.request()
            try connection.send(text)
            connection.awaitClose()
        }
    }

    @Test("cancelling who waits for an answer ends the transfer and closes its connection")
    func waitingForHead() async throws {
        try await withServer(Self.silentAfter("")) { server, transport in
            let task = Task { try await transport.send(.init(url: server.url)) }
            try await eventually("the request is there") { server.requests.count == 1 }
            task.cancel()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
            try await eventually("the connection is over") { server.open == 0 }
        }
    }

    @Test("cancelling who reads a body ends the transfer and closes its connection")
    func reading() async throws {
        try await withServer(Self.silentAfter(Self.part)) { server, transport in
            let gate = Gate()
            let task = Task {
                defer { gate.open() }  // a failure is waited for no longer
                for try await _ in try await transport.send(.init(url: server.url)).body { gate.open() }
            }
            await gate.pass()
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            try await eventually("the connection is over") { server.open == 0 }
        }
    }

    @Test("cancelling who fills a sink ends the transfer and closes its connection")
    func filling() async throws {
        try await withServer(Self.silentAfter(Self.part)) { server, transport in
            let gate = Gate()
            let sink = RecordingSink(onWrite: { gate.open() })
            let task = Task {
                defer { gate.open() }
                return try await transport.receive(.init(url: server.url), into: sink)
            }
            await gate.pass()
            task.cancel()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
            try await eventually("the connection is over") { server.open == 0 }
        }
    }

    @Test("a task that is cancelled already sends nothing")
    func cancelledBefore() async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            let gate = Gate()
            let task = Task {
                await gate.pass()
                return try await transport.send(.init(url: server.url))
            }
            task.cancel()
            gate.open()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
            #expect(server.accepted == 0)
        }
    }

    @Test("cancellation is never lost, whenever it comes")
    func atAnyMoment() async throws {
        try await withServer(Self.silentAfter("")) { server, transport in
            for round in 0..<100 {
                let task = Task { try await transport.send(.init(url: server.url)) }
                for _ in 0..<(round % 10) { await Task.yield() }
                task.cancel()
                await #expect(throws: CancellationError.self) { _ = try await task.value }
            }
            try await eventually("the connections are over") { server.open == 0 }
        }
    }

    @Test("cancelling one exchange leaves the others alone")
    func others() async throws {
        let gate = Gate()
        try await ScriptedUpstream.with { upstream in
            upstream.fault("GET /v2/?held", .hold(gate))
            try await withTransport { transport in
                async let other = transport.fetch(.init(url: upstream.url + "/v2/?held"))
                let task = Task { try await transport.fetch(.init(url: upstream.url + "/v2/?held")) }
                try await eventually("both are held") { gate.arrivals == 2 }
                task.cancel()
                await #expect(throws: CancellationError.self) { _ = try await task.value }
                gate.open()
                #expect(try await other.head.status == 200)
            }
        }
    }

    // MARK: - Shutdown

    @Test("a shutdown fails what is pending, in whatever phase it is")
    func shutdown() async throws {
        try await withServer({ connection in
            let request = try connection.request()
            if !request.line.contains("/silent") { try connection.send(Self.part) }
            connection.awaitClose()
        }) { server, transport in
            let waiting = Task { try await transport.send(.init(url: server.url + "/silent")) }
            let filling = Task { try await transport.receive(.init(url: server.url), into: RecordingSink()) }
            let response = try await transport.send(.init(url: server.url))
            try await eventually("three requests are there") { server.requests.count == 3 }
            transport.shutdown()
            let errors = [
                await #expect(throws: HTTPTransportError.self) { _ = try await waiting.value },
                await #expect(throws: HTTPTransportError.self) { _ = try await filling.value },
                await #expect(throws: HTTPTransportError.self) { _ = try await response.collect(upTo: 1_000_000) },
            ]
            #expect(errors.map { $0?.code } == [.shutdown, .shutdown, .shutdown])
            try await eventually("the connections are over") { server.open == 0 }
        }
    }

    @Test("after a shutdown nothing is sent")
    func afterShutdown() async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            transport.shutdown()
            transport.shutdown()
            let body = HTTPTransportBody.stream(length: nil) { nil }
            for request in [HTTPTransportRequest(url: server.url), .init(method: .put, url: server.url, body: body)] {
                let error = try await #require(throws: HTTPTransportError.self) {
                    _ = try await transport.send(request)
                }
                #expect(error.code == .shutdown)
                #expect(!error.isTemporary)
            }
            #expect(server.accepted == 0)
        }
    }

    @Test("a body that came whole can be read after the shutdown")
    func wholeBody() async throws {
        try await withServer(answering(ok("hello"))) { server, transport in
            let response = try await transport.send(.init(url: server.url))
            // The next answer on the same connection: the first one's body was received before.
            #expect(try await transport.fetch(.init(url: server.url)).text == "hello")
            transport.shutdown()
            #expect(try await response.collect(upTo: 5) == Array("hello".utf8))
        }
    }

    @Test("letting go of a transport closes its connections")
    func letGo() async throws {
        try await RawServer.with(answering(ok("x"))) { server in
            _ = try await withTransport { try await $0.fetch(.init(url: server.url)) }
            try await eventually("the connection is over") { server.accepted == 1 && server.open == 0 }
        }
    }
}
