// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// The three clocks of a tag, by the database's time.
@Suite struct ClockTests {
    private static let old = ImageFixture.image(layers: [.text("old")])
    private static let new = ImageFixture.image(layers: [.text("new")])
    private static let path = "/v2/up/a/b/manifests/t"

    private static func withTag(_ body: (ScriptedUpstream, Deployment) async throws -> Void) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(old, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                expectServed(try await deployment.pullRecorded(path, tag: "t"), old.bytes)
                try await body(upstream, deployment)
            }
        }
    }

    /// Seconds until the live tag expires; nil for never.
    private static func expiresIn(_ deployment: Deployment) async throws -> Double? {
        let row = try await deployment.client.query(
            "SELECT extract(epoch FROM expires_at - now())::float8 FROM tag WHERE name = 't' AND lifetime_end_at IS NULL"
        ).decodeFirst(Double?.self)
        return row ?? nil
    }

    @Test("inside the freshness period upstream isn't asked; after it the new image comes")
    func freshness() async throws {
        try await Self.withTag { upstream, deployment in
            try await deployment.configure("up", "freshness_s = 600")
            upstream.add(Self.new, to: "a/b", tag: "t")
            upstream.forgetRequests()
            for client in deployment.clients {
                expectServed(try await client.get(Self.path), Self.old.bytes)
                let head = try await client.head(Self.path)
                #expect(head.status == 200)
            }
            #expect(upstream.requests.isEmpty)
            try await deployment.client.query("UPDATE tag SET checked_at = now() - interval '600 seconds'")
            expectServed(try await deployment.registry.get(Self.path), Self.new.bytes)
        }
    }

    @Test("expiration begins anew at every pull: fresh, confirmed, by digest, and by HEAD")
    func renewal() async throws {
        try await Self.withTag { _, deployment in
            let digest = "/v2/up/a/b/manifests/\(Self.old.digest)"
            let almost = "UPDATE tag SET expires_at = now() + interval '10 minutes', last_pulled_at = NULL"
            for (settings, path) in [
                ("freshness_s = 0", Self.path), ("freshness_s = 600", Self.path), ("freshness_s = 600", digest),
            ] {
                try await deployment.configure("up", settings)
                try await deployment.client.query("\(unescaped: almost)")
                _ = try await deployment.pullRecorded(path, tag: "t")
                #expect(try await #require(Self.expiresIn(deployment)) > 86_000, "\(settings) \(path)")
            }
            try await deployment.client.query("\(unescaped: almost)")
            _ = try await deployment.registry.head(Self.path)
            try await eventually("HEAD counts") { try await (Self.expiresIn(deployment) ?? 0) > 86_000 }
        }
    }

    @Test("a tag's own expiration holds until the next pull")
    func override() async throws {
        try await Self.withTag { _, deployment in
            try await deployment.client.query("UPDATE tag SET expires_at = now() + interval '30 days'")
            #expect(try await #require(Self.expiresIn(deployment)) > 2_000_000)
            _ = try await deployment.pullRecorded(Self.path, tag: "t")
            #expect(try await #require(Self.expiresIn(deployment)) < 86_401)
        }
    }

    @Test("an expiration of 0 is none")
    func never() async throws {
        try await Self.withTag { _, deployment in
            try await deployment.configure("up", "expiration_s = 0")
            _ = try await deployment.pullRecorded(Self.path, tag: "t")
            #expect(try await Self.expiresIn(deployment) == nil)
        }
    }

    @Test("an expired tag is gone from pulls and lists while upstream is down, and its history stays")
    func expired() async throws {
        try await Self.withTag { upstream, deployment in
            try await deployment.client.query("UPDATE tag SET expires_at = now() - interval '1 second'")
            upstream.fault("/v2/", .answer(500, [:], []))
            #expect(try await deployment.registry.get(Self.path).status == 502)
            let list = try await deployment.registry.get("/v2/up/a/b/tags/list")
            #expect(!list.text.contains("\"t\""), "\(list.text)")
            let kept = try await deployment.client.query("SELECT 1 FROM tag WHERE name = 't'")
            #expect(kept.count == 1)
            upstream.clearFaults()
            upstream.forgetRequests()
            expectServed(try await deployment.registry.get(Self.path), Self.old.bytes)
            let lifetimes = try await deployment.client.query(
                "SELECT lifetime_end_at IS NULL FROM tag WHERE name = 't' ORDER BY id"
            ).decode(Bool.self)
            #expect(lifetimes == [false, true])
        }
    }

    @Test("a tag that upstream deleted is served or hidden as the organization says, and never deleted")
    func upstreamDelete() async throws {
        try await Self.withTag { upstream, deployment in
            upstream.remove(tag: "t", from: "a/b")
            let served = try await deployment.registry.get(Self.path)
            expectServed(served, Self.old.bytes)
            #expect(served.headers[values: .warning].first?.contains("doesn't have") == true)
            try await deployment.configure("up", "on_upstream_delete = 'hide'")
            let hidden = try await deployment.registry.get(Self.path)
            #expect(hidden.status == 404 && hidden.errorCode == "MANIFEST_UNKNOWN")
            try await deployment.configure("up", "on_upstream_delete = 'serve'")
            expectServed(try await deployment.registry.get(Self.path), Self.old.bytes)
        }
    }

    @Test("using a child keeps its index, and using the index keeps the child")
    func family() async throws {
        try await Self.withTag { upstream, deployment in
            let index = ImageFixture.index([Self.old, Self.new])
            upstream.add(index, to: "a/b", tag: "multi")
            _ = try await deployment.pullRecorded("/v2/up/a/b/manifests/multi", tag: "multi")
            try await deployment.client.query(
                "UPDATE tag SET last_pulled_at = NULL, expires_at = now() + interval '10 minutes'"
            )
            _ = try await deployment.pullRecorded("/v2/up/a/b/manifests/\(Self.old.digest)", tag: "multi")
            let expiry = try await deployment.client.query(
                "SELECT extract(epoch FROM expires_at - now())::float8 FROM tag WHERE name = 'multi'"
            ).decodeFirst(Double.self)
            #expect(try #require(expiry) > 86_000)
            try await deployment.client.query("UPDATE repository_manifest SET last_pulled_at = NULL")
            _ = try await deployment.pullRecorded("/v2/up/a/b/manifests/multi", tag: "multi")
            let used = try await deployment.client.query(
                "SELECT 1 FROM repository_manifest WHERE last_pulled_at IS NOT NULL"
            )
            #expect(used.count == 2)
        }
    }
}
