// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

/// How long a connection of HTTP/1 lasts, and what is said on it besides answers.
@Suite struct PersistenceTests {
    private static let ping = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"

    /// Statuses in their order, those of interim answers with them.
    private static func statuses(_ answers: String) -> [Int] {
        answers.split(separator: "HTTP/1.1 ").compactMap { Int($0.prefix(3)) }
    }

    private static func withPort(_ body: (Int) async throws -> Void) async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            let port = deployment.registry.base.split(separator: ":").last.flatMap { Int($0) }
            try await body(try #require(port))
        }
    }

    /// What comes back until the server closes, which it does by itself.
    private static func closed(_ port: Int, _ request: String) async throws -> String {
        try await rawExchange(port: port, request, untilClosed: true)
    }

    @Test("a client that wants one more answer only gets it, hears that it is the last, and sees the end")
    func last() async throws {
        let requests = [
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Close, TE\r\n\r\n",
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n",
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: TE\r\nConnection: close\r\n\r\n",
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            "GET /v2/ HTTP/1.0\r\n\r\n", "GET /api/v1/discovery HTTP/1.0\r\n\r\n",
            "GET /v2/ HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
            "GET /api/v1/discovery HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\n\r\n",
            "POST /v2/auth HTTP/1.1\r\nHost: x\r\nConnection: TE, close\r\nContent-Length: 12\r\n\r\ngrant_type=x",
        ]
        try await Self.withPort { port in
            for request in requests {
                let answers = try await Self.closed(port, request + Self.ping)
                #expect(Self.statuses(answers).count == 1, "\(request): \(answers)")
                #expect(answers.contains("\r\nConnection: close\r\n"), "\(request): \(answers)")
            }
        }
    }

    @Test("a client of HTTP/1.0 keeps its connection if it asks for that, and hears that it does")
    func old() async throws {
        let request = "GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        try await Self.withPort { port in
            let answers = try await rawExchange(port: port, request + request, thenEnds: true)
            #expect(Self.statuses(answers) == [401, 401], "\(answers)")
            #expect(answers.contains("\r\nConnection: keep-alive\r\n"), "\(answers)")
        }
    }

    @Test("what can't be understood is refused after the answer that is due before it")
    func refusedLater() async throws {
        let long = "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: \(String(repeating: "h", count: 40_000))\r\n\r\n"
        try await Self.withPort { port in
            for (bad, status) in [(long, 431), ("NONSENSE\r\n\r\n", 400)] {
                let answers = try await Self.closed(port, Self.ping + Self.ping + bad)
                #expect(Self.statuses(answers) == [401, 401, status], "\(answers)")
                #expect(answers.hasSuffix("}]}"), "\(answers)")
            }
            let close = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            let answers = try await Self.closed(port, close + "NONSENSE\r\n\r\n")
            #expect(Self.statuses(answers) == [401], "\(answers)")
        }
    }

    @Test("what can't be understood is never answered in the midst of a blob")
    func refusedAfterBlob() async throws {
        let blob = String(repeating: "0123456789", count: 300_000)
        let image = ImageFixture.image(layers: [.text(blob)])
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "r", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/up/r/manifests/t").status == 200)
                let port = try #require(deployment.registry.base.split(separator: ":").last.flatMap { Int($0) })
                let get = "GET /v2/up/r/blobs/\(image.blobs[1].digest) HTTP/1.1\r\nHost: x\r\n\r\n"
                for state in ["arriving", "stored"] {
                    if state == "stored" { try await deployment.stored() }
                    let answers = try await Self.closed(port, get + "NONSENSE\r\n\r\n")
                    #expect(Self.statuses(answers) == [200, 400], "\(state)")
                    #expect(answers.contains(blob), "\(state)")
                }
            }
        }
    }

    private static func expecting(_ line: String) -> String {
        "\(line)\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n"
    }

    @Test(
        "a client that waits with its body is told to go on where the body is read",
        arguments: ["POST /v2/auth HTTP/1.1", "POST /api/v1/organization/ HTTP/1.1"]
    )
    func wanted(_ line: String) async throws {
        let requests = Self.ping + Self.expecting(line) + "grant_type=x" + Self.ping
        try await Self.withPort { port in
            let interim = try await rawExchange(port: port, Self.expecting(line), thenEnds: true)
            #expect(interim.hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"), "\(interim)")
            let answers = try await rawExchange(port: port, requests, thenEnds: true)
            let statuses = Self.statuses(answers)
            #expect(statuses.count == 4 && statuses.prefix(2) == [401, 100] && statuses[3] == 401, "\(answers)")
        }
    }

    @Test("a client that waits with a body that nobody reads is answered at once")
    func unwanted() async throws {
        let lines = [
            ("PUT /v2/up/a/manifests/t HTTP/1.1", 405), ("POST /v2/up/a/blobs/uploads/ HTTP/1.1", 405),
            ("GET /v2/ HTTP/1.1", 401),
        ]
        try await Self.withPort { port in
            for (line, status) in lines {
                let answers = try await Self.closed(port, Self.expecting(line))
                #expect(Self.statuses(answers) == [status], "\(line): \(answers)")
                #expect(answers.contains("\r\nConnection: close\r\n"), "\(line): \(answers)")
            }
            // HTTP/1.0 knows of no interim answers.
            let old = try await Self.closed(port, Self.expecting("POST /v2/auth HTTP/1.0") + "grant_type=x")
            #expect(Self.statuses(old) == [400], "\(old)")
        }
    }
}
