// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import TestSupport
import Testing

@Suite("Requests")
struct RequestTests {
    @Test("a GET says where it goes and who asks, and nothing that wasn't asked for")
    func get() async throws {
        try await withServer(answering(ok("hello"))) { server, transport in
            let (head, text) = try await transport.fetch(.init(url: server.url + "/a?b=c"))
            #expect(head.status == 200)
            #expect(head.httpVersion == "HTTP/1.1")
            #expect(head.peerAddress == "127.0.0.1")
            #expect(head.headers[.contentLength] == "5")
            #expect(text == "hello")
            let request = try #require(server.requests.first)
            #expect(
                Set(request.lines)
                    == ["GET /a?b=c HTTP/1.1", "Host: 127.0.0.1:\(server.port)", "User-Agent: entrepot"]
            )
        }
    }

    @Test("path and query are sent as they are written, without the fragment")
    func pathAsIs() async throws {
        try await withServer(answering(ok(""))) { server, transport in
            _ = try await transport.fetch(.init(url: server.url + "/a/../b//c/./%2e%2E/?x=%2f+&y=%20#fragment"))
            #expect(server.requests.first?.line == "GET /a/../b//c/./%2e%2E/?x=%2f+&y=%20 HTTP/1.1")
        }
    }

    @Test("fields are sent with their values, repeated ones and empty ones too")
    func fields() async throws {
        try await withServer(answering(ok(""))) { server, transport in
            var headers = HTTPFields()
            headers[.accept] = "a/b"
            headers[.authorization] = "Bearer t"
            headers[.userAgent] = "other"
            headers.append(HTTPField(name: .cacheControl, value: "one"))
            headers.append(HTTPField(name: .cacheControl, value: "two"))
            headers[.ifMatch] = ""
            _ = try await transport.fetch(.init(url: server.url, headers: headers))
            let request = try #require(server.requests.first)
            #expect(request.values("Accept") == ["a/b"])
            #expect(request.values("Authorization") == ["Bearer t"])
            #expect(request.values("User-Agent") == ["other"])
            #expect(request.values("Cache-Control") == ["one", "two"])
            #expect(request.values("If-Match") == [""])
        }
    }

    @Test("HEAD has no body, whatever length it announces")
    func head() async throws {
        try await withServer(answering("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")) { server, transport in
            for _ in 0..<2 {
                let (head, text) = try await transport.fetch(.init(method: .head, url: server.url))
                #expect(head.headers[.contentLength] == "1000000")
                #expect(text.isEmpty)
            }
            #expect(server.requests.map(\.line) == ["HEAD / HTTP/1.1", "HEAD / HTTP/1.1"])
            #expect(server.accepted == 1)
        }
    }

    @Test("a method is sent by its name", arguments: [HTTPRequest.Method.delete, .options, .patch, .post, .put])
    func methods(_ method: HTTPRequest.Method) async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            let (_, text) = try await transport.fetch(.init(method: method, url: server.url))
            #expect(text == "x")
            #expect(server.requests.first?.line == "\(method.rawValue) / HTTP/1.1")
        }
    }

    @Test("two requests in a row use one connection")
    func reuse() async throws {
        try await withServer(answering(ok("x"))) { server, transport in
            for _ in 0..<2 {
                let (_, text) = try await transport.fetch(.init(url: server.url))
                #expect(text == "x")
            }
            let head = try await transport.receive(.init(url: server.url), into: RecordingSink())
            #expect(head.status == 200)
            #expect(server.requests.count == 3)
            #expect(server.accepted == 1)
        }
    }

    @Test("a server that closes its connection gets a new one for the next request")
    func noReuse() async throws {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
        try await withServer({ connection in
            try connection.request()
            try connection.send(answer)
        }) { server, transport in
            for _ in 0..<2 {
                let (_, text) = try await transport.fetch(.init(url: server.url))
                #expect(text == "x")
            }
            #expect(server.accepted == 2)
        }
    }

    @Test("requests at the same time don't wait for each other")
    func parallel() async throws {
        let gate = Gate()
        try await ScriptedUpstream.with { upstream in
            upstream.fault("GET /v2/?held", .hold(gate))
            try await withTransport { transport in
                async let held = transport.fetch(.init(url: upstream.url + "/v2/?held"))
                try await eventually("the first request is held") { gate.arrivals == 1 }
                #expect(try await transport.fetch(.init(url: upstream.url + "/v2/")).head.status == 200)
                gate.open()
                #expect(try await held.head.status == 200)
            }
        }
    }
}
