// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Layers whose manifest says that they are somewhere else.
@Suite struct ForeignLayerTests {
    private static let layer = ImageFixture.Blob.fixture(BlobFixture(seed: 970, size: 150_000))

    /// An image whose only layer is foreign, and at the addresses.
    private static func image(at addresses: [String]) -> ImageFixture {
        let config = ImageFixture.Blob.text("{\"architecture\":\"amd64\",\"os\":\"windows\"}")
        let urls = addresses.map { "\"\($0)\"" }.joined(separator: ",")
        let foreign = ImageFixture.descriptor(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            layer.digest,
            layer.size,
            ",\"urls\":[\(urls)]"
        )
        let configType = "application/vnd.docker.container.image.v1+json"
        let text = """
            {"schemaVersion":2,"mediaType":"\(ImageFixture.dockerManifest)",\
            "config":\(ImageFixture.descriptor(configType, config.digest, config.size)),"layers":[\(foreign)]}
            """
        var image = ImageFixture(bytes: Array(text.utf8), mediaType: ImageFixture.dockerManifest)
        image.blobs = [config]
        return image
    }

    private static func with(
        _ body: (_ registry: ScriptedUpstream, _ other: ScriptedUpstream, _ deployment: Deployment) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { registry in
            try await ScriptedUpstream.with { other in
                // Any path will do; a registry's blob is at hand.
                other.add(.image(layers: [layer]), to: "layers")
                let address = "\(other.url)/v2/layers/blobs/\(layer.digest)"
                let gone = "\(other.url)/v2/layers/blobs/gone"
                registry.add(image(at: ["http://elsewhere.invalid/layer", gone, address]), to: "a/b", tag: "t")
                registry.requireBearer()
                try await Deployment.with(["up=\(registry.url)"], frontends: 2, fetchers: 2) { deployment in
                    _ = try await deployment.registry.get("/v2/up/a/b/manifests/t")
                    try await body(registry, other, deployment)
                }
            }
        }
    }

    private static let path = "/v2/up/a/b/blobs/\(layer.digest)"

    @Test("they are refused by default, in words that name the hosts, and nobody else is asked for them")
    func refused() async throws {
        try await Self.with { registry, other, deployment in
            let got = try await deployment.registry.get(Self.path)
            #expect(got.status == 403 && got.errorCode == "DENIED", "\(got.text)")
            #expect(got.text.contains("127.0.0.1, elsewhere.invalid"), "\(got.text)")
            #expect(other.requests.isEmpty)
            #expect(registry.count(Self.layer.digest.description) > 0, "some registries have them")
        }
    }

    @Test(
        "they come from the first address on a listed host that has them, without credentials, and are verified and kept"
    )
    func listed() async throws {
        try await Self.with { registry, other, deployment in
            try await deployment.client.query(
                "UPDATE proxy_cache_config SET foreign_layer_hosts = ARRAY[\(other.host)], generation = generation + 1"
            )
            let got = try await deployment.registry.get(Self.path)
            expectServed(got, Self.layer.bytes(0..<Self.layer.size))
            #expect(other.requests.count == 2)
            #expect(other.requests.allSatisfy { $0.headers[.authorization] == nil })
            for client in deployment.clients {
                expectServed(try await client.get(Self.path), Self.layer.bytes(0..<Self.layer.size))
            }
            #expect(other.requests.count == 2)
        }
    }

    @Test("a listed host that sends other bytes, or points to a host that isn't listed, is not believed")
    func lying() async throws {
        try await Self.with { registry, other, deployment in
            try await deployment.client.query(
                "UPDATE proxy_cache_config SET foreign_layer_hosts = ARRAY[\(other.host)], generation = generation + 1"
            )
            other.fault("/blobs/", .answer(302, [.location: "http://127.0.0.1:9/layer"], []))
            let redirected = try await deployment.registry.get(Self.path)
            #expect(redirected.status == 502 && redirected.text.contains("isn't listed"), "\(redirected.text)")
            other.clearFaults()
            other.fault("/blobs/", .answer(200, [:], [UInt8](repeating: 7, count: Int(Self.layer.size))))
            let wrong = try await deployment.registry.get(Self.path)
            #expect(wrong.status == 502 || wrong.failure != nil, "\(wrong.status)")
            let placed = try await deployment.client.query(
                "SELECT 1 FROM blob WHERE digest = \(Self.layer.digest.description) AND generation IS NOT NULL"
            )
            #expect(placed.isEmpty)
        }
    }

    @Test("a registry that has them itself needs no other host")
    func present() async throws {
        try await Self.with { registry, other, deployment in
            registry.add(.image(layers: [Self.layer]), to: "a/b")
            expectServed(try await deployment.registry.get(Self.path), Self.layer.bytes(0..<Self.layer.size))
            #expect(other.requests.isEmpty)
        }
    }
}
