// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Images become complete although clients ask for a part of them only.
@Suite struct FillTests {
    private static let size: Int64 = 300_000
    private static let layers = (0..<3).map {
        ImageFixture.Blob.fixture(BlobFixture(seed: 700 + UInt64($0), size: size))
    }
    private static let image = ImageFixture.image(layers: layers)
    private static let soon = ["ENTREPOT_FILL_DELAY": "100ms"]

    private static func allPlaced(_ deployment: Deployment) async throws {
        try await eventually("every blob is here") {
            let absent = try await deployment.client.query("SELECT 1 FROM blob WHERE generation IS NULL")
            return absent.isEmpty
        }
    }

    @Test("layers that no client asked for arrive, once, and the image is whole when upstream is gone")
    func fills() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2, environment: Self.soon) {
                deployment in
                for client in deployment.clients {
                    expectServed(try await client.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                }
                try await Self.allPlaced(deployment)
                #expect(upstream.count("/blobs/") == 4)
                upstream.fault("/v2/", .answer(500, [:], []))
                for blob in Self.image.blobs {
                    let got = try await deployment.registry.get("/v2/up/a/b/blobs/\(blob.digest)")
                    expectServed(got, blob.bytes(0..<blob.size))
                }
            }
        }
    }

    @Test("a client that asks for a blob whose fill waits gets it at once, by one upstream GET")
    func promoted() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            let late = ["ENTREPOT_FILL_DELAY": "1h"]
            try await Deployment.with(["up=\(upstream.url)"], environment: late) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                let waiting = try await deployment.client.query("SELECT 1 FROM job WHERE queue = 'fills'")
                #expect(waiting.count == 4)
                let layer = Self.layers[1]
                let got = try await deployment.registry.get("/v2/up/a/b/blobs/\(layer.digest)")
                expectServed(got, layer.bytes(0..<layer.size))
                #expect(upstream.count("/blobs/") == 1)
                let left = try await deployment.client.query(
                    "SELECT 1 FROM job WHERE queue = 'fills' AND state = 'available'"
                )
                #expect(left.count == 3)
            }
        }
    }

    @Test("a fill that fails is tried again later, and no client is the worse for it")
    func failing() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.fault("/blobs/\(Self.layers[0].digest)", .answer(500, [:], []), times: 5)
            try await Deployment.with(["up=\(upstream.url)"], environment: Self.soon) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                try await eventually("the fill has failed once") {
                    let failed = try await deployment.client.query("SELECT 1 FROM job WHERE state = 'retryable'")
                    return failed.count == 1
                }
                upstream.clearFaults()
                try await deployment.forgetFailures()
                let layer = Self.layers[0]
                let got = try await deployment.registry.get("/v2/up/a/b/blobs/\(layer.digest)")
                expectServed(got, layer.bytes(0..<layer.size))
                try await Self.allPlaced(deployment)
            }
        }
    }

    @Test("children of an index come with it for the platforms that the organization lists, and for no others")
    func platforms() async throws {
        try await ScriptedUpstream.with { upstream in
            let children = (0..<3).map { ImageFixture.image(layers: [.text("layer \($0)")]) }
            let index = ImageFixture.index(children)
            upstream.add(index, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], environment: Self.soon) { deployment in
                try await deployment.configure("up", "platforms = '{linux/arm64}'")
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), index.bytes)
                try await eventually("the child and its blobs are here") {
                    let blobs = try await deployment.client.query("SELECT 1 FROM blob WHERE generation IS NOT NULL")
                    return blobs.count == 2
                }
                #expect(upstream.count(children[1].digest.description) == 1)
                #expect(upstream.count(children[0].digest.description) == 0)
                #expect(upstream.count(children[2].digest.description) == 0)
            }
        }
    }

    @Test("status tells of upstreams, queues and organizations, as tables and as JSON")
    func status() async throws {
        let entrepot = try Executables.path("entrepot")
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.fault("manifests/t", .setHeader(.rateLimitRemaining, "7;w=21600"))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                let database = ["--postgres", deployment.database]
                try await run(
                    entrepot,
                    ["upstream", "limit", upstream.url, "--connections", "3", "--requests-per-second", "50"] + database
                )
                let text = try await deployment.entrepot(["status"])
                for expected in [upstream.url, "closed", "3 connections, 50.0/s", "manifests", "INCOMPLETE"] {
                    #expect(text.contains(expected), "\(expected):\n\(text)")
                }
                struct Report: Decodable {
                    struct Upstream: Decodable {
                        let breaker: String, rate_limit_remaining: Int, maximum_connections: Int
                    }
                    struct Organization: Decodable { let name: String, tags: Int, incomplete_images: Int }
                    let upstreams: [Upstream], organizations: [Organization]
                }
                let json = try await deployment.entrepot(["status", "--json"])
                let report = try JSONDecoder().decode(Report.self, from: Data(json.utf8))
                #expect(report.upstreams.map(\.rate_limit_remaining) == [7])
                #expect(report.upstreams.map(\.maximum_connections) == [3])
                #expect(report.organizations.map(\.tags) == [1] && report.organizations[0].incomplete_images == 1)
                let bad = try await TestProcess(
                    entrepot,
                    ["upstream", "limit", "quay.io", "--connections", "0"] + database
                )
                #expect(try await bad.exitStatus() == 2)
                let nobody = try await TestProcess(entrepot, ["status", "--data", deployment.storage.path])
                #expect(try await nobody.exitStatus() == 2)
                #expect(nobody.lines.contains { $0.contains("no `entrepot up` has run over") }, "\(nobody.lines)")
            }
        }
    }
}
