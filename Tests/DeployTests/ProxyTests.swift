// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// What HAProxy makes of requests, before a frontend that tests play.
@Suite("deploy/haproxy.cfg")
struct ProxyTests {
    /// Runs HAProxy as it is configured, but for addresses, and with what stands behind a # as the test wants it.
    /// - Parameter outer: whether the clients of this machine are the load balancer before it
    private static func with(
        outer: Bool = false,
        certificate: Certificate? = nil,
        _ body: (_ url: String, _ frontend: RawServer) async throws -> Void
    ) async throws {
        try await RawServer.with({ connection in
            // A frontend that is killed may have done what it was asked for.
            guard try !connection.request().line.contains("/killed") else { return }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }) { frontend in
            let folder = try TemporaryDirectory()
            let (port, internalPort) = (try freePort(), try freePort())
            var text = try String(contentsOfFile: Repository.root + "/deploy/haproxy.cfg", encoding: .utf8)
            text = text.replacing("bind :8404", with: "bind 127.0.0.1:\(internalPort)")
                .replacing(/server-template .*/, with: "server one 127.0.0.1:\(frontend.port)")
            if outer { text = text.replacing(/# acl outer src .*/, with: "acl outer src 127.0.0.1") }
            if let certificate {
                let file = folder.path + "/registry.pem"
                let parts = try [certificate.certificateFile, certificate.keyFile].map {
                    try String(contentsOfFile: $0, encoding: .utf8)
                }
                try parts.joined().write(toFile: file, atomically: true, encoding: .utf8)
                text = text.replacing("    bind :5080\n", with: "")
                    .replacing(/# bind :5443 ssl crt [^ ]+/, with: "bind 127.0.0.1:\(port) ssl crt \(file)")
            } else {
                text = text.replacing("bind :5080", with: "bind 127.0.0.1:\(port)")
            }
            let file = folder.path + "/haproxy.cfg"
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            let process = try await TestProcess("/usr/bin/env", ["haproxy", "-db", "-f", file])
            try await eventually("HAProxy is ready") {
                let answer = try? await run("curl", ["-sf", "http://127.0.0.1:\(internalPort)/readyz"])  // not yet
                return answer != nil
            }
            try await body("\(certificate == nil ? "http" : "https")://127.0.0.1:\(port)", frontend)
            try await process.stop()
        }
    }

    /// What somebody writes who wants to be somebody else.
    private static let claims = [
        "X-Forwarded-For: 1.1.1.1, 10.1.2.3", "X-Forwarded-Proto: https", "X-Forwarded-Host: cache.example.com",
        "Forwarded: for=1.1.1.1;proto=https", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ]

    /// The request that reached a frontend.
    private func seen(_ url: String, _ frontend: RawServer, _ fields: [String] = claims) async throws -> RawRequest {
        try await run("curl", ["-sk", "-o", "/dev/null", url + "/v2/"] + fields.flatMap { ["-H", $0] })
        return try #require(frontend.requests.last)
    }

    @Test("what clients say of themselves goes no further, and without TLS the setting decides how they came")
    func clients() async throws {
        try await Self.with { url, frontend in
            for fields in [[], Self.claims] {
                let request = try await seen(url, frontend, fields)
                #expect(request.values("X-Forwarded-For") == ["127.0.0.1"])
                #expect(request.values("X-Forwarded-Host") == request.values("Host"))
                for name in ["X-Forwarded-Proto", "Forwarded", "traceparent"] {
                    #expect(request.values(name) == [], "\(name)")
                }
            }
        }
    }

    @Test("with TLS it says so")
    func secure() async throws {
        try await Self.with(certificate: Certificate()) { url, frontend in
            for fields in [[], ["X-Forwarded-Proto: http"]] {
                let request = try await seen(url, frontend, fields)
                #expect(request.values("X-Forwarded-Proto") == ["https"])
            }
        }
    }

    @Test("a load balancer before it is believed when it is named, and whoever it was asked by isn't")
    func outer() async throws {
        try await Self.with(outer: true) { url, frontend in
            let request = try await seen(url, frontend)
            #expect(request.values("X-Forwarded-For") == ["10.1.2.3"])
            #expect(request.values("X-Forwarded-Proto") == ["https"])
            #expect(request.values("X-Forwarded-Host") == ["cache.example.com"])
            #expect(request.values("traceparent").count == 1)
            #expect(request.values("Forwarded") == [])
            #expect(try await seen(url, frontend, []).values("X-Forwarded-For") == ["127.0.0.1"])
        }
    }

    @Test(
        "what may change something is sent once, though its frontend is gone",
        arguments: [("GET", 4), ("POST", 1), ("PUT", 1), ("DELETE", 1)]
    )
    func retries(_ method: String, _ count: Int) async throws {
        try await Self.with { url, frontend in
            try await run("curl", ["-s", "-o", "/dev/null", "-X", method, url + "/killed"])
            #expect(frontend.requests.count == count)
        }
    }
}
