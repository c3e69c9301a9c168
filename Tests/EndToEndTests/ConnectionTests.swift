// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

/// Several requests on one connection, some of them answered by the registry and some by the management API.
@Suite struct ConnectionTests {
    private static let others = [
        "GET /api/v1/discovery HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v2/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\ngrant_type=x",
        "PUT /v2/up/r/manifests/t HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    ]

    /// Statuses of the answers, in their order.
    private static func statuses(_ answers: String) -> [Int] {
        answers.split(separator: "HTTP/1.1 ").dropFirst(answers.hasPrefix("HTTP/1.1 ") ? 0 : 1)
            .compactMap { Int($0.prefix(3)) }
    }

    private static func withPort(_ blob: String, _ body: (Int, String) async throws -> Void) async throws {
        let image = ImageFixture.image(layers: [.text(blob)])
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "r", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/up/r/manifests/t").status == 200)
                let port = deployment.registry.base.split(separator: ":").last.flatMap { Int($0) }
                try await body(try #require(port), "/v2/up/r/blobs/\(image.blobs[1].digest)")
            }
        }
    }

    @Test("requests that come before the answers are answered in their order", arguments: [true, false])
    func pipelined(saysClose: Bool) async throws {
        try await Self.withPort("layer") { port, _ in
            let manifest = "GET /v2/up/r/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n"
            let ping = "HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
            let last = "GET /v2/up/r/tags/list HTTP/1.1\r\nHost: x\r\n\(saysClose ? "Connection: close\r\n" : "")\r\n"
            let requests = [manifest, ping] + Self.others + [manifest, Self.others[1], ping, last]
            let answers = try await rawExchange(port: port, requests.joined(), thenEnds: true)
            #expect(Self.statuses(answers) == [200, 401, 200, 400, 405, 200, 400, 401, 200], "\(answers)")
        }
    }

    @Test("the body of a request that has to wait is read on when its turn comes")
    func waitingBody() async throws {
        try await Self.withPort("layer") { port, _ in
            let manifest = "GET /v2/up/r/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n"
            let size = 60_000
            let login = "POST /v2/auth HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n"
            let requests = [manifest, login, String(repeating: "a", count: size), manifest]
            let answers = try await rawExchange(port: port, requests.joined(), thenEnds: true)
            #expect(Self.statuses(answers) == [200, 400, 200], "\(answers)")
        }
    }

    @Test("a body that says nothing is passed over")
    func body() async throws {
        try await Self.withPort("layer") { port, _ in
            let request = "GET /v2/up/r/manifests/t HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
            let answers = try await rawExchange(port: port, request + request, thenEnds: true)
            #expect(Self.statuses(answers) == [200, 200])
        }
    }

    @Test("a client that has ended its side gets all of a blob that is on its way, and what it asked for after it")
    func halfClosed() async throws {
        let blob = String(repeating: "0123456789", count: 300_000)
        try await Self.withPort(blob) { port, path in
            let get = "GET \(path) HTTP/1.1\r\nHost: x\r\n"
            let requests = [get + "\r\n", Self.others[1], get + "Range: bytes=0-9\r\n\r\n"]
            for _ in ["arriving", "stored"] {
                let answers = try await rawExchange(port: port, requests.joined(), thenEnds: true)
                #expect(Self.statuses(answers) == [200, 400, 206])
                #expect(answers.contains(blob))
            }
        }
    }
}
