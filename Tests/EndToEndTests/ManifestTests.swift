// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Pull requirements of the distribution specification that concern manifests, through the real executables.
@Suite struct ManifestTests {
    private struct Kind: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let image: ImageFixture

        init(_ name: String, _ image: ImageFixture) {
            testDescription = name
            self.image = image
        }
    }

    private static let layer = ImageFixture.Blob.text("layer")
    private static let small = ImageFixture.image(layers: [layer])
    private static let missingSubject =
        ",\"subject\":" + ImageFixture.descriptor(ImageFixture.ociManifest, .of(Array("gone".utf8)), 4)
    private static let emptyConfig = ImageFixture.Blob.text("{}")
    private static let emptyType = "application/vnd.oci.empty.v1+json"

    private static let kinds: [Kind] = [
        Kind("image", small),
        Kind("Docker image", .image(layers: [layer], isDocker: true)),
        Kind("image that doesn't say what it is", .image(layers: [layer], namesMediaType: false)),
        Kind("image without layers", .image(layers: [])),
        Kind("index", .index([small, .image(layers: [.text("other")])])),
        Kind("nested index", .index([.index([small])])),
        Kind("empty index", .index([])),
        Kind("index with a subject", .index([small], extra: missingSubject)),
        Kind("image with a subject that doesn't exist", .image(layers: [layer], extra: missingSubject)),
        Kind(
            "artifact",
            .image(
                layers: [layer],
                config: emptyConfig,
                configType: emptyType,
                extra: ",\"artifactType\":\"application/vnd.example.thing\""
            )
        ),
        Kind(
            "artifact without layers",
            .image(
                layers: [],
                config: emptyConfig,
                configType: emptyType,
                extra: ",\"artifactType\":\"application/vnd.example.thing\""
            )
        ),
        Kind("unknown fields in an odd order", .image(layers: [layer], extra: ", \"z\" : {\"b\":1,\"a\":[ ]}\n ")),
        Kind("large annotations", .image(layers: [], extra: annotations(count: 390, bytes: 10_000))),
    ]

    private static func annotations(count: Int, bytes: Int) -> String {
        let value = String(repeating: "a", count: bytes)
        return ",\"annotations\":{" + (0..<count).map { "\"k\($0)\":\"\(value)\"" }.joined(separator: ",") + "}"
    }

    @Test("every kind of manifest is served as upstream has it, by tag and by digest, by GET and by HEAD")
    func everyKindIsVerbatim() async throws {
        try await ScriptedUpstream.with { upstream in
            for (number, kind) in Self.kinds.enumerated() {
                upstream.add(kind.image, to: "lib/kinds", tag: "k\(number)")
            }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for (number, kind) in Self.kinds.enumerated() {
                    for reference in ["k\(number)", kind.image.digest.description] {
                        let path = "/v2/up/lib/kinds/manifests/\(reference)"
                        let got = try await deployment.registry.get(path)
                        #expect(got.status == 200, "\(kind.testDescription): \(got.text)")
                        #expect(got.body == kind.image.bytes, "\(kind.testDescription)")
                        let head = try await deployment.registry.head(path)
                        #expect(head.status == 200 && head.body.isEmpty, "\(kind.testDescription)")
                        for headers in [got.headers, head.headers] {
                            #expect(headers[.contentType] == kind.image.mediaType, "\(kind.testDescription)")
                            #expect(headers[.contentLength] == String(kind.image.bytes.count))
                            #expect(headers[.dockerContentDigest] == kind.image.digest.description)
                            #expect(headers[.eTag] == "\"\(kind.image.digest)\"")
                        }
                    }
                }
            }
        }
    }

    @Test("a manifest asked for by a sha512 digest is verified and served under it")
    func sha512() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.image(layers: [.text("x", .sha512)], algorithm: .sha512)
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for reference in [image.digest.description, "t"] {
                    let got = try await deployment.registry.get("/v2/up/a/b/manifests/\(reference)")
                    #expect(got.status == 200 && got.body == image.bytes)
                    #expect(got.headers[.dockerContentDigest] == image.digest.description)
                }
                let blob = try await deployment.registry.get("/v2/up/a/b/blobs/\(image.blobs[1].digest)")
                #expect(blob.text == "x")
            }
        }
    }

    @Test("a cold tag costs one request, a cached digest none, a cached tag one HEAD")
    func callCounts() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = Self.small
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let path = "/v2/up/a/b/manifests/"
                expectServed(try await deployment.registry.get(path + "t"), image.bytes)
                #expect(upstream.requests.map(\.method) == ["GET"])
                upstream.forgetRequests()
                expectServed(try await deployment.registry.get(path + image.digest.description), image.bytes)
                #expect(upstream.requests.isEmpty)
                expectServed(try await deployment.registry.get(path + "t"), image.bytes)
                #expect(upstream.requests.map(\.method) == ["HEAD"])
            }
        }
    }

    /// How many connections are open at the client's server with nothing unread, as the kernel says.
    private func connections(takenInBy client: TestClient) async throws -> Int {
        let port = try #require(client.base.split(separator: ":").last.flatMap { Int($0) })
        let local = "0100007F:" + String(format: "%04X", port)
        // Foundation reads no more than the first page of such a file.
        return try await run("cat", ["/proc/net/tcp"]).split(separator: "\n").count { line in
            let fields = line.split(separator: " ")
            return fields[1] == local && fields[3] == "01" && fields[4].hasSuffix(":00000000")
        }
    }

    @Test("many pulls of one tag at once, over two frontends, ask upstream once")
    func checksCoalesce() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.small, to: "a/b", tag: "t")
            let gate = Gate()
            defer { gate.open() }  // or nothing ends when something fails
            upstream.fault("manifests/t", .hold(gate))
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for number in 0..<40 {
                        let client = deployment.clients[number % 2]
                        group.addTask { try await client.get("/v2/up/a/b/manifests/t").status }
                    }
                    try await eventually("the frontends have taken in all of them") {
                        let first = try await connections(takenInBy: deployment.clients[0])
                        return try await first + connections(takenInBy: deployment.clients[1]) == 40
                    }
                    try await eventually("upstream is asked") { gate.arrivals > 0 }
                    #expect(upstream.count("manifests/t") == 1)
                    gate.open()
                    for try await status in group { #expect(status == 200) }
                }
                // Whoever had been read but hadn't joined yet may have asked once more, together with others.
                #expect(upstream.count("manifests/t") < 10)
            }
        }
    }

    @Test("a tag that moved upstream gives the new image, and the old one stays pullable by digest")
    func movedTag() async throws {
        try await ScriptedUpstream.with { upstream in
            let old = ImageFixture.image(layers: [.text("old")])
            let new = ImageFixture.image(layers: [.text("new")])
            upstream.add(old, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let path = "/v2/up/a/b/manifests/"
                expectServed(try await deployment.registry.get(path + "t"), old.bytes)
                upstream.add(new, to: "a/b", tag: "t")
                expectServed(try await deployment.registry.get(path + "t"), new.bytes)
                upstream.forgetRequests()
                expectServed(try await deployment.registry.get(path + old.digest.description), old.bytes)
                #expect(upstream.requests.isEmpty)
            }
        }
    }

    @Test("If-None-Match with the manifest's tag is answered 304 without a body")
    func notModified() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.small, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let path = "/v2/up/a/b/manifests/t"
                let tag = try #require(try await deployment.registry.get(path).headers[.eTag])
                let same = try await deployment.registry.get(path, [.ifNoneMatch: tag])
                #expect(same.status == 304 && same.body.isEmpty)
                let other = try await deployment.registry.get(path, [.ifNoneMatch: "\"sha256:0\""])
                #expect(other.status == 200)
            }
        }
    }

    @Test("children of an index are fetched when they are asked for, not before")
    func lazyChildren() async throws {
        try await ScriptedUpstream.with { upstream in
            let children = [Self.small, ImageFixture.image(layers: [.text("arm")])]
            let index = ImageFixture.index(children)
            upstream.add(index, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let path = "/v2/up/a/b/manifests/"
                expectServed(try await deployment.registry.get(path + "t"), index.bytes)
                #expect(upstream.count("manifests") == 1)
                let child = try await deployment.registry.get(path + children[1].digest.description)
                #expect(child.body == children[1].bytes)
                #expect(upstream.count("manifests") == 2)
                #expect(upstream.count(children[0].digest.description) == 0)
            }
        }
    }

    @Test("upstream gone: a cached tag is served with a warning, anything else gets the cause")
    func upstreamGone() async throws {
        let image = Self.small
        let closed = try ClosedPort()
        defer { withExtendedLifetime(closed) {} }
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)", "gone=http://127.0.0.1:\(closed.port)"]) { deployment in
                let path = "/v2/up/a/b/manifests/t"
                #expect(try await deployment.registry.get(path).status == 200)
                upstream.fault("/v2/", .answer(503, [:], Array("<html>busy</html>".utf8)))
                let stale = try await deployment.registry.get(path)
                #expect(stale.status == 200 && stale.body == image.bytes)
                let warning = try #require(stale.headers[values: .warning].first)
                #expect(warning.hasPrefix("299 - \"") && warning.contains("503"))
                let unknown = try await deployment.registry.get("/v2/up/a/b/manifests/other")
                #expect(unknown.status == 502 && unknown.errorCode == "UNAVAILABLE" && unknown.text.contains("503"))
                let refused = try await deployment.registry.get("/v2/gone/a/b/manifests/t")
                #expect(refused.status == 503 && refused.text.contains("doesn't accept connections"))
            }
        }
    }

    @Test("what isn't the manifest that was asked for is neither stored nor served")
    func badManifests() async throws {
        let image = Self.small
        let huge = Self.annotations(count: 420, bytes: 10_000)
        let bodies: [(name: String, body: [UInt8], type: String)] = [
            ("other bytes", Array("{\"schemaVersion\":2}".utf8), ImageFixture.ociManifest),
            ("malformed", Array("{\"schemaVersion\":2,".utf8), ImageFixture.ociManifest),
            ("html", Array("<html>Welcome</html>".utf8), "text/html"),
            ("more than 4 MiB", ImageFixture.image(layers: [], extra: huge).bytes, ImageFixture.ociManifest),
            ("index under an image's type", ImageFixture.index([image]).bytes, ImageFixture.ociManifest),
        ]
        try await ScriptedUpstream.with { upstream in
            for (number, bad) in bodies.enumerated() {
                upstream.fault("manifests/t\(number)", .answer(200, [.contentType: bad.type], bad.body))
            }
            upstream.fault("manifests/sha256", .answer(200, [.contentType: bodies[0].type], image.bytes + [0x0A]))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for (number, bad) in bodies.enumerated() where number > 0 {
                    let got = try await deployment.registry.get("/v2/up/a/b/manifests/t\(number)")
                    #expect(got.status == 502, "\(bad.name): \(got.status) \(got.text)")
                }
                let wrong = try await deployment.registry.get("/v2/up/a/b/manifests/\(image.digest)")
                #expect(wrong.status == 502 && wrong.text.contains("other bytes"))
                let stored = try await deployment.client.query("SELECT count(*) FROM manifest").decodeFirst(Int.self)
                #expect(stored == 0)
            }
        }
    }

    @Test("a schema 1 manifest is refused by name")
    func schema1() async throws {
        try await ScriptedUpstream.with { upstream in
            let body = Array("{\"schemaVersion\":1,\"name\":\"a/b\",\"tag\":\"t\",\"fsLayers\":[],\"history\":[]}".utf8)
            let type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
            upstream.fault("manifests/t", .answer(200, [.contentType: type], body))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let got = try await deployment.registry.get("/v2/up/a/b/manifests/t")
                #expect(got.status == 404 && got.errorCode == "UNSUPPORTED", "\(got.text)")
            }
        }
    }

    @Test("a bearer challenge is answered, once for many pulls")
    func bearer() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = Self.small
            upstream.add(image, to: "a/b", tag: "t")
            upstream.requireBearer()
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for _ in 0..<5 {
                    expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), image.bytes)
                }
                let blob = try await deployment.registry.get("/v2/up/a/b/blobs/\(image.blobs[1].digest)")
                #expect(blob.text == "layer")
                #expect(upstream.count("/token") == 1)
            }
        }
    }
}
