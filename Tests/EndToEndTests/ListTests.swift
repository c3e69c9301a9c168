// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// `tags/list` and referrers: what upstream lists, in our pages, also when upstream is gone.
@Suite struct ListTests {
    private struct Tags: Decodable { let name: String, tags: [String] }

    private struct Index: Decodable {
        struct Entry: Decodable { let digest: String, artifactType: String?, annotations: [String: String]? }
        let mediaType: String, manifests: [Entry]
    }

    private static let image = ImageFixture.single(seed: 950, size: 1_000)
    private static let path = "/v2/up/a/b/tags/list"
    private static let referrers = "/v2/up/a/b/referrers/\(image.digest)"

    private static func descriptor(_ number: Int, type: String = "application/x.signature") -> String {
        let digest = OCI.Digest.of(Array("\(number)".utf8), algorithm: .sha256)
        let extra = ",\"artifactType\":\"\(type)\",\"annotations\":{\"number\":\"\(number)\"}"
        return ImageFixture.descriptor(ImageFixture.ociManifest, digest, 10, extra)
    }

    private static func tags(_ response: TestClient.Answer) throws -> [String] {
        try JSONDecoder().decode(Tags.self, from: Data(response.body)).tags
    }

    private static func entries(_ response: TestClient.Answer) throws -> [Index.Entry] {
        try JSONDecoder().decode(Index.self, from: Data(response.body)).manifests
    }

    private static func age(_ table: String, _ deployment: Deployment) async throws {
        try await deployment.client.query("UPDATE \(unescaped: table) SET checked_at = now() - interval '2 hours'")
    }

    @Test(
        "all tags of upstream are listed, sorted, in pages of the client's size, for one walk through upstream's pages"
    )
    func paging() async throws {
        try await ScriptedUpstream.with { upstream in
            let names = (0..<25).map { "v\($0)" }
            upstream.list {
                $0.tags["a/b"] = names.shuffled()
                $0.pageSize = 10
                $0.linkPrefix = "http://registry.internal:9"
            }
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                try await deployment.configure("up", "freshness_s = 3600")
                let whole = try await deployment.registry.get(Self.path)
                #expect(whole.status == 200, "\(whole.text)")
                #expect(try Self.tags(whole) == names.sorted())
                #expect(whole.headers[.link] == nil && whole.headers[.warning] == nil)
                #expect(upstream.count("tags/list") == 3)

                var listed: [String] = []
                var next: String? = "\(Self.path)?n=7"
                while let path = next {
                    let page = try await deployment.clients[listed.count % 2].get(path)
                    let names = try Self.tags(page)
                    #expect(names.count <= 7)
                    listed += names
                    next = page.headers[.link].flatMap(LinkHeader.nextTarget)
                }
                #expect(listed == names.sorted())
                #expect(try Self.tags(try await deployment.registry.get("\(Self.path)?n=0")).isEmpty)
                #expect(try Self.tags(try await deployment.registry.get("\(Self.path)?n=9&last=v8")) == ["v9"])
                let mirrored = try await deployment.registry.get("/v2/a/b/tags/list?ns=\(upstream.host)&n=1")
                #expect(mirrored.headers[.link]?.hasPrefix("</v2/a/b/tags/list?n=1&last=v0&ns=127.0.0.1") == true)
                #expect(upstream.count("tags/list") == 3, "while it is fresh nothing is asked again")
            }
        }
    }

    @Test("a list is asked for again after its time, bridged with a warning when upstream is down, and never made up")
    func staleness() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.list { $0.tags["a/b"] = ["old"] }
            upstream.add(Self.image, to: "a/c", tag: "cached")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                #expect(try Self.tags(try await deployment.registry.get(Self.path)) == ["old"])
                upstream.list { $0.tags["a/b"] = ["new", "old"] }
                try await Self.age("tag_list", deployment)
                #expect(try Self.tags(try await deployment.registry.get(Self.path)) == ["new", "old"])
                expectServed(try await deployment.registry.get("/v2/up/a/c/manifests/cached"), Self.image.bytes)

                upstream.fault("tags/list", .answer(500, [:], []))
                try await Self.age("tag_list", deployment)
                for client in deployment.clients {
                    let stale = try await client.get(Self.path)
                    #expect(try Self.tags(stale) == ["new", "old"])
                    #expect(stale.headers[.warning]?.contains("answered 500 for list of tags") == true)
                }
                try await deployment.forgetFailures()
                let cached = try await deployment.registry.get("/v2/up/a/c/tags/list")
                #expect(try Self.tags(cached) == ["cached"])
                #expect(cached.headers[.warning]?.contains("only what is cached is listed") == true)
                let unknown = try await deployment.registry.get("/v2/up/a/d/tags/list")
                #expect(unknown.status == 502 && unknown.errorCode == "UNAVAILABLE", "\(unknown.text)")

                try await deployment.forgetFailures()
                try await deployment.configure("up", "staleness_s = 60")
                try await deployment.client.query("UPDATE tag_list SET checked_at = now() - interval '61 seconds'")
                let beyond = try await deployment.registry.get(Self.path)
                #expect(beyond.status == 502, "\(beyond.text)")
            }
        }
    }

    @Test("a repository that upstream hasn't is a 404, asked for once")
    func unknown() async throws {
        try await ScriptedUpstream.with { upstream in
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                for client in deployment.clients {
                    let got = try await client.get(Self.path)
                    #expect(got.status == 404 && got.errorCode == "NAME_UNKNOWN", "\(got.text)")
                }
                #expect(upstream.requests.count == 1)
                let rows = try await deployment.client.query("SELECT 1 FROM repository")
                #expect(rows.isEmpty)
            }
        }
    }

    @Test("a list without end, in a circle, of wrong kind or with names that climb is held in bounds")
    func hostile() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.list { $0.tags["a/b"] = ["good", "..", "a/b", String(repeating: "x", count: 129), "-x"] }
            upstream.fault("a/b/tags/list", .setHeader(.link, "</v2/a/b/tags/list?n=1000>; rel=\"next\""))
            upstream.fault("a/c/tags/list", .answer(200, [.contentType: "text/html"], Array("<html>".utf8)))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try Self.tags(try await deployment.registry.get(Self.path)) == ["good"])
                #expect(upstream.count("tags/list") == 2)
                let page = try await deployment.registry.get("/v2/up/a/c/tags/list")
                #expect(page.status == 502 && page.text.contains("sent no list of tags"), "\(page.text)")
            }
        }
    }

    @Test("referrers come from upstream's API, all pages of it, filtered here, and are bridged when upstream is down")
    func referrersAPI() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.list {
                $0.pageSize = 2
                $0.referrers["a/b@\(Self.image.digest)"] =
                    (0..<4).map { Self.descriptor($0) } + [Self.descriptor(9, type: "application/x.sbom")]
            }
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                try await deployment.configure("up", "freshness_s = 3600")
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                let all = try await deployment.registry.get(Self.referrers)
                #expect(all.status == 200 && all.headers[.contentType] == ImageFixture.ociIndex, "\(all.text)")
                #expect(try Self.entries(all).map { $0.annotations?["number"] } == ["0", "1", "2", "3", "9"])
                #expect(upstream.count("/referrers/") == 3)
                let filter = "?artifactType=application/x.sbom"
                let filtered = try await deployment.clients[1].get(Self.referrers + filter)
                #expect(try Self.entries(filtered).map(\.artifactType) == ["application/x.sbom"])
                #expect(filtered.headers[.ociFiltersApplied] == "artifactType")
                #expect(upstream.count("/referrers/") == 3)

                upstream.list { $0.referrers["a/b@\(Self.image.digest)"]?.append(Self.descriptor(10)) }
                try await Self.age("referrer_list", deployment)
                #expect(try Self.entries(try await deployment.registry.get(Self.referrers)).count == 6)
                upstream.fault("/referrers/", .answer(503, [:], []))
                try await Self.age("referrer_list", deployment)
                let stale = try await deployment.registry.get(Self.referrers)
                #expect(try Self.entries(stale).count == 6)
                #expect(stale.headers[.warning]?.hasPrefix("299 ") == true)
            }
        }
    }

    @Test("an upstream without the API is asked for the tag that stands for it; nothing attached is an empty list")
    func referrersTag() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.list { $0.hasReferrersAPI = false }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await deployment.configure("up", "freshness_s = 3600")
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                #expect(try Self.entries(try await deployment.registry.get(Self.referrers)).isEmpty)
                let text =
                    "{\"schemaVersion\":2,\"mediaType\":\"\(ImageFixture.ociIndex)\",\"manifests\":[\(Self.descriptor(1))]}"
                let index = ImageFixture(bytes: Array(text.utf8), mediaType: ImageFixture.ociIndex)
                upstream.add(index, to: "a/b", tag: "sha256-\(Self.image.digest.hex)")
                try await Self.age("referrer_list", deployment)
                #expect(try Self.entries(try await deployment.registry.get(Self.referrers)).count == 1)
                #expect(upstream.count("/referrers/") == 2)
                let nothing = OCI.Digest.of([1, 2, 3], algorithm: .sha256)
                let unknown = try await deployment.registry.get("/v2/up/new/repository/referrers/\(nothing)")
                #expect(try Self.entries(unknown).isEmpty)
                let rows = try await deployment.client.query("SELECT 1 FROM repository")
                #expect(rows.count == 1, "who asks for made-up names leaves no rows")
            }
        }
    }

    @Test("a signature is asked for again with its image, however fresh it is")
    func signatures() async throws {
        try await ScriptedUpstream.with { upstream in
            let signature = ImageFixture.single(seed: 951, size: 100)
            let signatures = ImageFixture.single(seed: 952, size: 100)
            let tag = "sha256-\(Self.image.digest.hex).sig"
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.add(signature, to: "a/b", tag: tag)
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                try await deployment.configure("up", "freshness_s = 3600")
                let path = "/v2/up/a/b/manifests/"
                expectServed(try await deployment.registry.get(path + "t"), Self.image.bytes)
                for client in deployment.clients { expectServed(try await client.get(path + tag), signature.bytes) }
                #expect(upstream.count(tag) == 1)
                upstream.add(signatures, to: "a/b", tag: tag)
                expectServed(try await deployment.registry.get(path + tag), signature.bytes, "as fresh as the image")

                try await deployment.client.query(
                    "UPDATE tag SET checked_at = checked_at - interval '1 hour' WHERE name = 't'"
                )
                expectServed(try await deployment.registry.get(path + "t"), Self.image.bytes)
                for client in deployment.clients { expectServed(try await client.get(path + tag), signatures.bytes) }
            }
        }
    }
}
