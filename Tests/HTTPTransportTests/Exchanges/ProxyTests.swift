// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import TestSupport
import Testing

@Suite("Through a proxy")
struct ProxyTests {
    /// Runs `body` with a proxy that answers everything itself, and a transport that uses it for every target.
    private func withProxy<Result>(
        allowed: [String] = [],
        exceptions: String = "",
        credentials: String = "",
        answer: String = ok("from the proxy"),
        _ body: (RawServer, HTTPTransport) async throws -> Result
    ) async throws -> Result {
        try await RawServer.with(answering(answer)) { proxy in
            let policy = AddressPolicy(allowed: try allowed.map { try AllowedUpstream($0) })
            let url = "http://\(credentials)127.0.0.1:\(proxy.port)"
            return try await withTransport({ configuration in
                configuration.addressPolicy = policy
                configuration.proxies = ProxyEnvironment(["all_proxy": url, "no_proxy": exceptions])
            }) { try await body(proxy, $0) }
        }
    }

    @Test("a plain request is handed to the proxy, which may have a private address")
    func plain() async throws {
        try await withProxy { proxy, transport in
            let (head, text) = try await transport.fetch(.init(url: "http://registry.test/v2/?a=b"))
            #expect(head.status == 200)
            #expect(head.peerAddress == "127.0.0.1")
            #expect(text == "from the proxy")
            let request = try #require(proxy.requests.first)
            #expect(request.line == "GET http://registry.test/v2/?a=b HTTP/1.1")
            #expect(request.values("Host") == ["registry.test"])
            #expect(request.values("Proxy-Authorization") == [])
        }
    }

    @Test("the proxy's credentials go to the proxy")
    func credentials() async throws {
        try await withProxy(credentials: "user:secret@") { proxy, transport in
            _ = try await transport.fetch(.init(url: "http://registry.test/"))
            let expected = "Basic " + Data("user:secret".utf8).base64EncodedString()
            #expect(proxy.requests.first?.values("Proxy-Authorization") == [expected])
            #expect(proxy.requests.first?.values("Authorization") == [])
        }
    }

    @Test("a TLS request asks the proxy for a tunnel, and a refused tunnel is not the registry's answer")
    func tunnel() async throws {
        let refusal = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
        try await withProxy(answer: refusal) { proxy, transport in
            let headers = HTTPTransportRequest(url: "https://registry.test/v2/", headers: [.authorization: "Bearer t"])
            await #expect(throws: HTTPTransportError.self) { _ = try await transport.fetch(headers) }
            let request = try #require(proxy.requests.first)
            #expect(request.line == "CONNECT registry.test:443 HTTP/1.1")
            #expect(request.values("Authorization") == [])
        }
    }

    @Test("what NO_PROXY names is reached directly, and its address is judged")
    func exceptions() async throws {
        try await RawServer.with(answering(ok("direct"))) { server in
            try await withProxy(allowed: ["127.0.0.1:\(server.port)"], exceptions: "127.0.0.1") { proxy, transport in
                #expect(try await transport.fetch(.init(url: server.url)).text == "direct")
                let error = try await #require(throws: HTTPTransportError.self) {
                    _ = try await transport.fetch(.init(url: proxy.url))
                }
                #expect(error.code == .addressRefused)
                #expect(proxy.accepted == 0)
            }
        }
    }

    @Test(
        "a refused address isn't asked of a proxy either, however it is written",
        arguments: [
            "127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "2130706433", "0x7f000001",
            "0x7f.1", "0177.0.0.1", "127.1", "%31%32%37.0.0.1", "0",
        ]
    )
    func literal(_ host: String) async throws {
        try await withProxy { proxy, transport in
            let error = try await #require(throws: HTTPTransportError.self) {
                _ = try await transport.fetch(.init(url: "http://\(host)/"))
            }
            #expect(error.code == .addressRefused)
            #expect(proxy.accepted == 0)
        }
    }

    @Test(
        "an allowed or a public address may be asked of a proxy",
        arguments: ["10.0.0.1", "1.1.1.1", "[2606:4700::1111]"]
    )
    func allowedLiteral(_ host: String) async throws {
        try await withProxy(allowed: ["10.0.0.0/8"]) { proxy, transport in
            let (_, text) = try await transport.fetch(.init(url: "http://\(host)/"))
            #expect(text == "from the proxy")
            #expect(proxy.requests.first?.line == "GET http://\(host)/ HTTP/1.1")
        }
    }

    @Test("a proxy that can't be reached fails the request")
    func unreachable() async throws {
        let closed = try ClosedPort()
        try await withTransport({ $0.proxies = ProxyEnvironment(["all_proxy": "http://127.0.0.1:\(closed.port)"]) }) {
            transport in
            let error = try await #require(throws: HTTPTransportError.self) {
                _ = try await transport.fetch(.init(url: "http://registry.test/"))
            }
            #expect(error.code == .connectRefused)
        }
        withExtendedLifetime(closed) {}
    }

    @Test("curl's own reading of the environment doesn't get a request past the proxy, where no address is judged")
    func ownEnvironment() async throws {
        await #expect(processExitsWith: .success) {
            setenv("no_proxy", "*", 1)
            setenv("NO_PROXY", "*", 1)
            try await RawServer.with(answering(ok("from the proxy"))) { proxy in
                let policy = AddressPolicy(allowed: [try AllowedUpstream("localhost")])
                try await withTransport({ configuration in
                    configuration.addressPolicy = policy
                    configuration.proxies = ProxyEnvironment(["http_proxy": "http://127.0.0.1:\(proxy.port)"])
                }) { transport in
                    let text = try await transport.fetch(.init(url: "http://localhost:\(freePort())/")).text
                    guard text == "from the proxy" else { exit(1) }
                }
            }
        }
    }
}
