// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Synchronization
import TestSupport
import Testing

@Suite("Request bodies")
struct UploadTests {
    private struct Broken: Error {}

    /// Chunks one after the other, then the end or an error.
    private func stream(_ chunks: [[UInt8]], length: Int64?, failing error: Broken? = nil) -> HTTPTransportBody {
        let next = Mutex(0)
        return .stream(length: length) {
            let index = next.withLock { index in
                defer { index += 1 }
                return index
            }
            if index < chunks.count { return chunks[index] }
            if let error { throw error }
            return nil
        }
    }

    @Test("bytes are sent with their length", arguments: [0, 1, 300_000])
    func bytes(_ count: Int) async throws {
        let body = BlobFixture(seed: 1, size: Int64(count)).bytes
        try await withServer(answering(ok("x"))) { server, transport in
            let request = HTTPTransportRequest(method: .post, url: server.url, body: .bytes(body))
            #expect(try await transport.fetch(request).text == "x")
            let received = try #require(server.requests.first)
            #expect(received.line == "POST / HTTP/1.1")
            #expect(received.values("Content-Length") == ["\(count)"])
            #expect(received.values("Transfer-Encoding") == [])
            #expect(received.values("Expect") == [])
            #expect(received.body == body)
        }
    }

    @Test("a stream with a length is sent with it, one without in chunks", arguments: [true, false])
    func streams(_ hasLength: Bool) async throws {
        let chunks = (0..<20).map { BlobFixture(seed: $0, size: 20_000 + Int64($0)).bytes }
        let all = chunks.flatMap { $0 }
        try await withServer(answering(ok("x"))) { server, transport in
            let body = stream(chunks, length: hasLength ? Int64(all.count) : nil)
            #expect(try await transport.fetch(.init(method: .put, url: server.url, body: body)).text == "x")
            let received = try #require(server.requests.first)
            #expect(received.line == "PUT / HTTP/1.1")
            #expect(received.values("Content-Length") == (hasLength ? ["\(all.count)"] : []))
            #expect(received.values("Transfer-Encoding") == (hasLength ? [] : ["chunked"]))
            #expect(received.body == all)
        }
    }

    @Test("an empty stream is an empty body")
    func emptyStream() async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            for length in [0, nil] as [Int64?] {
                let request = HTTPTransportRequest(method: .put, url: server.url, body: stream([], length: length))
                let (_, text) = try await transport.fetch(request)
                #expect(text == "x")
            }
            #expect(server.requests.map(\.body) == [[], []])
        }
    }

    @Test("the next chunk is asked for when the one before is used up, and the sender waits for it")
    func oneChunkAhead() async throws {
        let (chunks, feed) = AsyncStream.makeStream(of: [UInt8].self)
        let calls = Mutex(0)
        try await withServer(answering(ok("x"))) { server, transport in
            let body = HTTPTransportBody.stream(length: 6) {
                calls.withLock { $0 += 1 }
                for await chunk in chunks { return chunk }
                return nil
            }
            async let response = transport.fetch(.init(method: .put, url: server.url, body: body))
            feed.yield(Array("abc".utf8))
            try await eventually("a second chunk is asked for") { calls.withLock { $0 } == 2 }
            #expect(server.requests.isEmpty)
            feed.yield(Array("def".utf8))
            feed.finish()
            #expect(try await response.text == "x")
            #expect(server.requests.first?.body == Array("abcdef".utf8))
        }
    }

    @Test("an error of the stream reaches the caller unchanged, and the server never gets a whole body")
    func failingStream() async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            for length in [1_000, nil] as [Int64?] {
                let body = stream([Array("abc".utf8)], length: length, failing: Broken())
                let request = HTTPTransportRequest(method: .put, url: server.url, body: body)
                await #expect(throws: Broken.self) { _ = try await transport.send(request) }
                await #expect(throws: Broken.self) { _ = try await transport.receive(request, into: RecordingSink()) }
            }
            try await eventually("the connections are over") { server.open == 0 }
            #expect(server.requests.isEmpty)
        }
    }

    @Test("a stream that isn't as long as it was said to be is an error, and never looks whole", arguments: [2, 4])
    func wrongLength(_ length: Int64) async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            let body = stream([Array("abc".utf8)], length: length)
            let error = try await #require(throws: HTTPTransportError.self) {
                _ = try await transport.send(.init(method: .put, url: server.url, body: body))
            }
            #expect(error.code == .other)
            try await eventually("the connection is over") { server.accepted == 1 && server.open == 0 }
            #expect(server.requests.isEmpty)
        }
    }

    @Test(
        "a refusal that comes before the whole body was sent is the response, with its body",
        arguments: [true, false]
    )
    func earlyRefusal(_ isStreamed: Bool) async throws {
        let chunk = [UInt8](repeating: 1, count: 65_536)
        try await withServer({ connection in
            try connection.head()
            try connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
            connection.awaitClose()
        }) { server, transport in
            let body =
                isStreamed
                ? HTTPTransportBody.stream(length: 1 << 40) { chunk } : .bytes([UInt8](repeating: 1, count: 32 << 20))
            let (head, text) = try await transport.fetch(.init(method: .put, url: server.url, body: body))
            #expect(head.status == 413)
            #expect(text == "large")
        }
    }

    @Test("a success that comes before the request's body was there is none")
    func earlySuccess() async throws {
        try await withServer({ connection in
            try connection.head()
            try connection.send(ok("enough"))
            connection.awaitClose()
        }) { server, transport in
            let body = HTTPTransportBody.stream(length: 10) {
                try await Task.sleep(for: .seconds(3_600))
                return nil
            }
            let request = HTTPTransportRequest(method: .put, url: server.url, body: body)
            let error = try await #require(throws: HTTPTransportError.self) { _ = try await transport.fetch(request) }
            #expect(error.code == .protocolError)
            try await eventually("the connection is over") { server.open == 0 }
        }
    }

    @Test("a response is whole even if the stream is disturbed after its last byte was sent")
    func disturbedAfterwards() async throws {
        let gate = Gate()
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1")
            try connection.pause(milliseconds: 100)
            try connection.send("2")
            connection.awaitClose()
        }) { server, transport in
            let isFirst = Mutex(true)
            let body = HTTPTransportBody.stream(length: 3) {
                let isFirst = isFirst.withLock { isFirst in
                    defer { isFirst = false }
                    return isFirst
                }
                if isFirst { return Array("abc".utf8) }
                // Until the response's head is there, when nobody wants any more.
                do { try await Task.sleep(for: .seconds(3_600)) } catch { gate.open() }
                throw Broken()
            }
            let (_, text) = try await transport.fetch(.init(method: .put, url: server.url, body: body))
            await gate.pass()
            #expect(text == "12")
            #expect(server.requests.first?.body == Array("abc".utf8))
        }
    }

    @Test("a stream that ends because it is cancelled never looks whole")
    func cancelledEnd() async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            for _ in 0..<20 {
                let (chunks, feed) = AsyncStream.makeStream(of: [UInt8].self)
                let isSent = Gate()
                let calls = Mutex(0)
                let body = HTTPTransportBody.stream(length: nil) {
                    calls.withLock { calls in
                        calls += 1
                        if calls == 2 { isSent.open() }
                    }
                    for await chunk in chunks { return chunk }
                    return nil
                }
                feed.yield(Array("abc".utf8))
                let task = Task { try await transport.send(.init(method: .put, url: server.url, body: body)) }
                await isSent.pass()
                task.cancel()
                await #expect(throws: CancellationError.self) { _ = try await task.value }
            }
            try await eventually("the connections are over") { server.open == 0 }
            #expect(server.requests.isEmpty)
        }
    }

    @Test("cancellation reaches a stream that has nothing to send")
    func cancelled() async throws {
        let gate = Gate()
        try await withServer(answering(ok("x"))) { server, transport in
            let body = HTTPTransportBody.stream(length: 10) {
                gate.open()
                try await Task.sleep(for: .seconds(3_600))
                return nil
            }
            let task = Task { try await transport.send(.init(method: .put, url: server.url, body: body)) }
            await gate.pass()
            task.cancel()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
        }
    }
}
