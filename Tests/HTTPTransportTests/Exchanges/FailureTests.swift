// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import TestSupport
import Testing

@testable import HTTPTransport

@Suite("Failures")
struct FailureTests {
    private func failure(
        _ url: String,
        _ configure: (inout HTTPTransportConfiguration) -> Void = { _ in }
    ) async throws -> HTTPTransportError {
        try await withTransport(configure) { transport in
            try await #require(throws: HTTPTransportError.self) { _ = try await transport.fetch(.init(url: url)) }
        }
    }

    /// How an exchange fails with a server that does this after it has read the request.
    private func failure(answering script: @escaping RawServer.Script) async throws -> HTTPTransportError {
        try await withServer({ connection in
            try connection.request()
            try script(connection)
        }) { server, transport in
            let error = try await #require(throws: HTTPTransportError.self) {
                _ = try await transport.fetch(.init(url: server.url))
            }
            let inSink = try await #require(throws: HTTPTransportError.self) {
                try await transport.receive(.init(url: server.url), into: RecordingSink())
            }
            #expect(inSink.code == error.code)
            return error
        }
    }

    @Test(
        "a body that ends before its end is truncated, and never looks whole",
        arguments: [
            "Content-Length: 10\r\n\r\n12345", "Content-Length: 10\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "Transfer-Encoding: chunked\r\n\r\na\r\n12345",
            "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n", "Transfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\nxyz\r\n12345",
        ]
    )
    func truncated(_ rest: String) async throws {
        let error = try await failure { try $0.send("HTTP/1.1 200 OK\r\n" + rest) }
        #expect(error.code == .truncated)
        #expect(error.message.contains("127.0.0.1"))
        #expect(error.isTemporary)
    }

    @Test(
        "a connection that is reset in the middle of a body truncates it",
        arguments: ["Content-Length: 10\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "\r\n12345"]
    )
    func resetInTheMiddle(_ rest: String) async throws {
        let error = try await failure { connection in
            try connection.send("HTTP/1.1 200 OK\r\n" + rest)
            // Until it was taken: a reset throws away what is still on its way.
            try connection.pause(milliseconds: 100)
            connection.reset()
        }
        #expect(error.code == .truncated)
    }

    @Test("a connection that is closed without an answer is a protocol error")
    func closed() async throws {
        let error = try await failure { $0.close() }
        #expect(error.code == .protocolError)
        #expect(error.message.contains("127.0.0.1"))
        #expect(error.isTemporary)
    }

    @Test("a connection that is reset without an answer is a protocol error")
    func reset() async throws {
        #expect(try await failure { $0.reset() }.code == .protocolError)
    }

    @Test(
        "what isn't HTTP is a protocol error",
        arguments: [
            "SSH-2.0-OpenSSH_9.2\r\n", "garbage", "\r\n\r\n", "\u{0}\u{1}\u{2}", "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
        ]
    )
    func garbage(_ text: String) async throws {
        #expect(try await failure { try $0.send(text) }.code == .protocolError)
    }

    @Test("a header that is too large is an error of its own, made of many fields or of one")
    func headerTooLarge() async throws {
        let field = "X: " + String(repeating: "x", count: 1_000) + "\r\n"
        for header in [
            String(repeating: field, count: 300), "X: " + String(repeating: "x", count: 150_000) + "\r\n",
            "X: " + String(repeating: "x", count: 400_000) + "\r\n",
        ] {
            let error = try await failure { connection in
                try connection.send("HTTP/1.1 200 OK\r\n\(header)Content-Length: 0\r\n\r\n")
                connection.awaitClose()
            }
            #expect(error.code == .headerTooLarge)
            #expect(!error.isTemporary)
        }
    }

    @Test("a header just below the limit is taken")
    func headerFits() async throws {
        let header = String(repeating: "X: " + String(repeating: "x", count: 995) + "\r\n", count: 250)
        try await withServer(answering("HTTP/1.1 200 OK\r\n\(header)Content-Length: 1\r\n\r\nx")) { server, transport in
            let (head, _) = try await transport.fetch(.init(url: server.url))
            #expect(head.headers.count == 251)
        }
    }

    @Test("a port where nobody listens refuses the connection")
    func connectRefused() async throws {
        let closed = try ClosedPort()
        let error = try await failure("http://127.0.0.1:\(closed.port)/")
        withExtendedLifetime(closed) {}
        #expect(error.code == .connectRefused)
        #expect(error.message.contains("127.0.0.1"))
        #expect(error.isTemporary)
    }

    @Test("a name without an address is a failure of DNS")
    func dns() async throws {
        // A label of more than 63 characters can't be asked for: this needs no name server.
        let name = String(repeating: "a", count: 64) + ".invalid"
        let error = try await failure("http://\(name)/")
        #expect(error.code == .dns)
        #expect(error.message.contains(name))
        #expect(error.isTemporary)
    }

    @Test("a server that doesn't speak TLS fails as TLS")
    func tls() async throws {
        try await RawServer.with({ connection in
            try connection.send("220 ready\r\n")
            connection.awaitClose()
        }) { server in
            let error = try await failure("https://127.0.0.1:\(server.port)/")
            #expect(error.code == .tls)
        }
    }

    @Test("senseless URLs and other schemes are refused before anything is sent")
    func badURL() async throws {
        #expect(try await failure("http://").code == .badURL)
        #expect(try await failure("http://user@127.0.0.1/").code == .badURL)
        #expect(try await failure("http://127.0.0.1:99999999999999999999/").code == .badURL)
        #expect(try await failure("file:///etc/passwd").code == .unsupportedScheme)
    }

    // MARK: - The address policy, at connect time

    @Test(
        "a refused address is never connected to, however it is written",
        arguments: [
            "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1",
            "127.0.1", "%31%32%37.0.0.1", "LOCALHOST", "0", "0.0.0.0", "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]",
        ]
    )
    func refusedAddress(_ host: String) async throws {
        try await RawServer.with(answering(ok("x"))) { server in
            let error = try await failure("http://\(host):\(server.port)/") { $0.addressPolicy = AddressPolicy() }
            #expect(error.code == .addressRefused)
            #expect(!error.isTemporary)
            #expect(server.accepted == 0)
        }
    }

    @Test("an exception for a host lets it through, and no other name of the same address")
    func allowedHost() async throws {
        try await RawServer.with(answering(ok("x"))) { server in
            let allowed = try AllowedUpstream("localhost:\(server.port)")
            try await withTransport({ $0.addressPolicy = AddressPolicy(allowed: [allowed]) }) { transport in
                let url = "http://localhost:\(server.port)/"
                #expect(try await transport.fetch(.init(url: url)).text == "x")
                let error = try await #require(throws: HTTPTransportError.self) {
                    _ = try await transport.fetch(.init(url: server.url))
                }
                #expect(error.code == .addressRefused)
            }
        }
    }

    @Test("a private IPv6 address is refused without being tried")
    func refusedIPv6() async throws {
        for host in ["[::1]", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"] {
            let error = try await failure("http://\(host):\(freePort())/") { $0.addressPolicy = AddressPolicy() }
            #expect(error.code == .addressRefused, "\(host)")
        }
    }

    // MARK: - Secrets

    @Test("no error tells a path, a query or a credential")
    func secrets() async throws {
        try await RawServer.with({ connection in
            let head = try connection.head()
            if head.contains("/part-") { try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1") }
            if head.contains("/odd-") { try connection.send("s3cret is not HTTP\r\n\r\n") }
            if head.contains("/slow-") { connection.awaitClose() }
        }) { server in
            let secret = "s3cret"
            let closed = try ClosedPort()
            defer { withExtendedLifetime(closed) {} }
            let tail = "-\(secret)?sig=\(secret)"
            let urls = [
                server.url + "/part" + tail, server.url + "/odd" + tail, server.url + "/slow" + tail,
                server.url + "/gone" + tail, "http://user:\(secret)@127.0.0.1/", "ftp://127.0.0.1/\(secret)",
                "http://127.0.0.1:\(closed.port)/x" + tail, "https://127.0.0.1:\(server.port)/x" + tail,
                "http://\(String(repeating: "a", count: 64)).invalid/x" + tail,
            ]
            try await withTransport { transport in
                for url in urls {
                    let request = HTTPTransportRequest(
                        url: url,
                        headers: [.authorization: "Bearer \(secret)", .cookie: secret],
                        deadlines: .init(connect: .milliseconds(150), firstByte: .milliseconds(150))
                    )
                    let error = try await #require(throws: HTTPTransportError.self) {
                        _ = try await transport.fetch(request)
                    }
                    #expect(
                        !String(reflecting: error).contains(secret) && !error.description.contains(secret),
                        "\(url)"
                    )
                }
            }
            for path in ["/part", "/odd", "/slow", "/gone"] {
                let error = try await failure(
                    "http://registry.test\(path)\(tail)",
                    { $0.proxies = ProxyEnvironment(["http_proxy": "http://user:\(secret)@127.0.0.1:1"]) }
                )
                #expect(!String(reflecting: error).contains(secret))
            }
        }
    }
}
