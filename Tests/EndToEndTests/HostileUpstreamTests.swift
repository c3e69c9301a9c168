// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Upstreams that want to harm: each attack beside its harmless twin. Nothing bad is stored, nothing grows without bound,
/// and the cache serves others on.
@Suite struct HostileUpstreamTests {
    private static let good = ImageFixture.image(layers: [.text("good")])
    private static let mebibyte = 1_048_576

    /// Runs a deployment over a good upstream (`good`) and a hostile one (`bad`).
    private static func withHostile(
        _ environment: [String: String] = [:],
        _ script: @escaping RawServer.Script,
        _ body: (Deployment, RawServer) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(good, to: "a/b", tag: "t")
            try await RawServer.with(script) { server in
                let proxies = ["good=\(upstream.url)", "bad=\(server.url)"]
                try await Deployment.with(proxies, environment: environment) { deployment in
                    try await body(deployment, server)
                    expectServed(try await deployment.registry.get("/v2/good/a/b/manifests/t"), good.bytes)
                    let fetcher = try deployment.fetchers[0].peakMemoryBytes()
                    #expect(fetcher < 200 * mebibyte, "the fetcher grew to \(fetcher / mebibyte) MiB")
                }
            }
        }
    }

    private static func head(_ length: Int?, _ fields: String = "") -> String {
        let framing = length.map { "Content-Length: \($0)" } ?? "Transfer-Encoding: chunked"
        return "HTTP/1.1 200 OK\r\nContent-Type: \(ImageFixture.ociManifest)\r\n\(framing)\r\n\(fields)\r\n"
    }

    @Test("a manifest without end is given up at the size limit")
    func endlessManifest() async throws {
        let piece = "10000\r\n" + String(repeating: " ", count: 65_536) + "\r\n"
        try await Self.withHostile { connection in
            while true {
                try connection.request()
                try connection.send(Self.head(nil))
                for _ in 0..<100_000 { try connection.send(piece) }
            }
        } _: { deployment, _ in
            let got = try await deployment.registry.get("/v2/bad/a/b/manifests/t")
            #expect(got.status == 502 && got.text.contains("larger than"), "\(got.text)")
        }
    }

    @Test("a header without end is given up")
    func endlessHeader() async throws {
        let line = "X-Filler: " + String(repeating: "x", count: 8_000) + "\r\n"
        try await Self.withHostile { connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\n")
            for _ in 0..<100_000 { try connection.send(line) }
        } _: { deployment, _ in
            let got = try await deployment.registry.get("/v2/bad/a/b/manifests/t")
            #expect(got.status == 502, "\(got.text)")
        }
    }

    @Test("a compressed manifest isn't unpacked: its bytes aren't what was asked for")
    func contentEncoding() async throws {
        // What a gzip of the manifest begins with; a bomb would unpack into gigabytes.
        let packed: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3] + [UInt8](repeating: 0, count: 4_000)
        try await Self.withHostile { connection in
            while true {
                try connection.request()
                try connection.send(Self.head(packed.count, "Content-Encoding: gzip\r\n"))
                try connection.send(packed)
            }
        } _: { deployment, server in
            let got = try await deployment.registry.get("/v2/bad/a/b/manifests/t")
            #expect(got.status == 502, "\(got.text)")
            #expect(!server.requests.isEmpty)
            #expect(server.requests.allSatisfy { $0.values("Accept-Encoding") == ["identity"] })
        }
    }

    @Test("a tag's manifest that isn't what its answer names is asked for once more, and refused if it stays so")
    func otherManifest() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.good, to: "a/b", tag: "t")
            let other = ImageFixture.image(layers: [.text("other")])
            let fields: HTTPFields = [
                .contentType: other.mediaType, .dockerContentDigest: Self.good.digest.description,
            ]
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                upstream.fault("GET /v2/a/b/manifests/t", .answer(200, fields, other.bytes))
                let refused = try await deployment.registry.get("/v2/up/a/b/manifests/t")
                #expect(refused.status == 502 && refused.text.contains("other bytes for t than those of"))
                #expect(upstream.count("GET") == 2)
                let stored = try await deployment.client.query("SELECT 1 FROM manifest")
                #expect(stored.isEmpty)
                upstream.clearFaults()
                upstream.fault("GET /v2/a/b/manifests/t", .answer(200, fields, other.bytes), times: 1)
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.good.bytes)
                #expect(upstream.count("GET") == 4)
            }
        }
    }

    @Test("an answer that names no digest, or none that is one, is served", arguments: ["", "md5:00", "sha256:00"])
    func senselessDigest(_ claim: String) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.good, to: "a/b", tag: "t")
            upstream.fault("/manifests/", .setHeader(.dockerContentDigest, claim))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.good.bytes)
            }
        }
    }

    @Test("a manifest that comes a byte at a time is given up in time")
    func drip() async throws {
        try await Self.withHostile(["ENTREPOT_UPSTREAM_MANIFEST_TIMEOUT": "5s"]) { connection in
            try connection.request()
            try connection.send(Self.head(100_000))
            while true {
                try connection.send(" ")
                try connection.pause(milliseconds: 100)
            }
        } _: { deployment, _ in
            let got = try await deployment.registry.get("/v2/bad/a/b/manifests/t")
            #expect(got.status == 504, "\(got.text)")
        }
    }

    @Test("lists and challenges beyond any measure in a header don't hurt")
    func challenges() async throws {
        let many = (0..<2_000).map { "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:\($0)/\",service=\"s\"\r\n" }
            .joined()
        let odd = "WWW-Authenticate: Bearer realm=\"unterminated, scope=\"\r\nWWW-Authenticate: \u{1}\u{2}\r\n"
        try await Self.withHostile { connection in
            while true {
                try connection.request()
                try connection.send("HTTP/1.1 401 Unauthorized\r\n\(odd)\(many)Content-Length: 0\r\n\r\n")
            }
        } _: { deployment, server in
            let got = try await deployment.registry.get("/v2/bad/a/b/manifests/t")
            #expect([403, 502].contains(got.status), "\(got.text)")
            #expect(!server.requests.isEmpty)
            #expect(server.requests.allSatisfy { $0.values("Authorization").isEmpty })
        }
    }

    @Test("redirects in a circle, to nowhere, to other schemes and to private addresses are refused")
    func redirects() async throws {
        let targets = [
            "circle": "/v2/a/b/manifests/circle", "nowhere": "", "file": "file:///etc/passwd", "gopher": "gopher://x/",
            "metadata": "http://169.254.169.254/latest/meta-data", "six": "http://[::ffff:10.0.0.1]/",
            "decimal": "http://2852039166/", "userinfo": "http://good@127.0.0.1/",
        ]
        try await Self.withHostile { connection in
            while true {
                let request = try connection.request()
                let name = request.line.split(separator: " ")[1].split(separator: "/").last.map(String.init) ?? ""
                let location = targets[name] ?? ""
                try connection.send("HTTP/1.1 307 Moved\r\nLocation: \(location)\r\nContent-Length: 0\r\n\r\n")
            }
        } _: { deployment, server in
            for name in targets.keys {
                let got = try await deployment.registry.get("/v2/bad/a/b/manifests/\(name)")
                #expect(got.status == 502, "\(name): \(got.status) \(got.text)")
                try await deployment.forgetFailures()
            }
            #expect(server.requests.filter { $0.line.contains("circle") }.count <= 3 * 6)
        }
    }

    @Test("documents that are too large, too deep or senseless are refused, and nothing of them is stored")
    func bombs() async throws {
        let child = ImageFixture.descriptor(ImageFixture.ociManifest, Self.good.digest, 2)
        let bombs = [
            "{\"schemaVersion\":2,\"mediaType\":\"\(ImageFixture.ociIndex)\",\"manifests\":["
                + Array(repeating: child, count: 100_000).joined(separator: ",") + "]}",
            "{\"schemaVersion\":2,\"a\":" + String(repeating: "[", count: 100_000),
            "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"\(Self.good.digest)\",\"size\":-1}}",
            "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"\(Self.good.digest)\",\"size\":1e300}}",
            "{\"schemaVersion\":2,\"schemaVersion\":1}", "\u{FEFF}{\"schemaVersion\":2}", "null", "[]", "",
        ]
        try await Self.withHostile { connection in
            while true {
                let request = try connection.request()
                let number = request.line.split(separator: " ")[1].split(separator: "/").last.flatMap { Int($0) } ?? 0
                try connection.send(Self.head(bombs[number].utf8.count) + bombs[number])
            }
        } _: { deployment, _ in
            for number in bombs.indices {
                let got = try await deployment.registry.get("/v2/bad/a/b/manifests/\(number)")
                #expect(got.status == 502, "\(number): \(got.status) \(got.text.prefix(200))")
            }
            let stored = try await deployment.client.query("SELECT 1 FROM manifest")
            #expect(stored.isEmpty)
        }
    }

    @Test("an image with ten thousand layers is unusual, and served")
    func manyLayers() async throws {
        try await ScriptedUpstream.with { upstream in
            let layers = (0..<10_000).map { ImageFixture.Blob.text("layer \($0 % 100)") }
            let wide = ImageFixture.image(layers: layers)
            upstream.add(wide, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), wide.bytes)
                let rows = try await deployment.client.query(
                    "SELECT count(*), count(DISTINCT digest) FROM manifest_blob"
                )
                .decodeFirst((Int, Int).self)
                #expect(rows?.0 == 10_001 && rows?.1 == 101)
            }
        }
    }

    @Test("an index that lists itself, or whose children make a circle, is served as it is and followed by nobody")
    func circles() async throws {
        try await ScriptedUpstream.with { upstream in
            let inner = ImageFixture.index([Self.good])
            let outer = ImageFixture.index([inner, inner, Self.good])
            upstream.add(outer, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), outer.bytes)
                #expect(upstream.count("manifests") == 1)
                let children = try await deployment.client.query("SELECT 1 FROM manifest_child")
                #expect(children.count == 3)
            }
        }
    }

    @Test("two answers for one tag race: what is stored is one of them, whole")
    func tagRace() async throws {
        try await ScriptedUpstream.with { upstream in
            let images = (0..<2).map { ImageFixture.image(layers: [.text("side \($0)")]) }
            upstream.add(images[0], to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for round in 0..<40 {
                        upstream.add(images[round % 2], to: "a/b", tag: "t")
                        let client = deployment.clients[round % 2]
                        group.addTask {
                            let got = try await client.get("/v2/up/a/b/manifests/t")
                            let digest = try #require(got.headers[.dockerContentDigest])
                            #expect(OCI.Digest.of(got.body).description == digest)
                            #expect(images.contains { $0.bytes == got.body })
                        }
                    }
                    try await group.waitForAll()
                }
                let live = try await deployment.client.query("SELECT 1 FROM tag WHERE lifetime_end_at IS NULL")
                #expect(live.count == 1)
            }
        }
    }
}
