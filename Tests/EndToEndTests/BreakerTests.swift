// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Upstreams that are left alone: the circuit breaker, rate limits, limits of our own, and answers that are remembered.
@Suite struct BreakerTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])
    private static let path = "/v2/up/a/b/manifests/t"

    private static func withUpstream(
        _ body: (ScriptedUpstream, Deployment) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                try await body(upstream, deployment)
            }
        }
    }

    private static func isOpen(_ deployment: Deployment) async throws -> Bool {
        let rows = try await deployment.client.query("SELECT 1 FROM upstream WHERE open_until > now()")
        return !rows.isEmpty
    }

    @Test("after failures in a row upstream is left alone by every process, probed in the background, and used again")
    func opensAndCloses() async throws {
        try await Self.withUpstream { upstream, deployment in
            expectServed(try await deployment.registry.get(Self.path), Self.image.bytes)
            upstream.fault("/v2/", .answer(500, [:], []))
            for number in 0..<5 {
                expectServed(try await deployment.clients[number % 2].get(Self.path), Self.image.bytes)
            }
            try await eventually("the breaker is open") { try await Self.isOpen(deployment) }
            // The first opening is short: what follows might come after it.
            try await deployment.client.query("UPDATE upstream SET open_until = now() + interval '1 hour'")
            try await deployment.client.query("SELECT pg_notify('entrepot_upstream', \(upstream.url))")
            try await deployment.heard()
            upstream.forgetRequests()
            for client in deployment.clients {
                let stale = try await client.get(Self.path)
                expectServed(stale, Self.image.bytes)
                #expect(stale.headers[values: .warning].first?.contains("500") == true)
                let other = try await client.get("/v2/up/a/b/manifests/other")
                #expect(other.status == 502 && other.headers[.retryAfter] != nil, "\(other.text)")
            }
            #expect(upstream.count("manifests") == 0)
            // The time is up: one probe finds it still down, a later one up.
            let openings = try await deployment.client.query("SELECT openings FROM upstream").decodeFirst(Int.self) ?? 0
            try await deployment.client.query("UPDATE upstream SET open_until = now()")
            try await eventually("upstream is probed") { upstream.count("GET /v2/") > 0 }
            try await eventually("the breaker is open again") {
                try await !deployment.client.query("SELECT 1 FROM upstream WHERE openings > \(openings)").isEmpty
            }
            upstream.clearFaults()
            try await deployment.client.query("UPDATE upstream SET open_until = now()")
            try await eventually("the breaker is closed") {
                let rows = try await deployment.client.query("SELECT 1 FROM upstream WHERE failures > 0")
                return rows.isEmpty
            }
            upstream.forgetRequests()
            // Frontends hear of it a moment after it is written down.
            try await eventually("upstream is used again") {
                let confirmed = try await deployment.registry.get(Self.path)
                expectServed(confirmed, Self.image.bytes)
                return confirmed.headers[values: .warning].isEmpty
            }
            #expect(upstream.count("manifests/t") == 1)
        }
    }

    @Test("a 429 is honoured for as long as it asks, for the whole upstream")
    func rateLimited() async throws {
        try await Self.withUpstream { upstream, deployment in
            upstream.fault("manifests/limited", .answer(429, [.retryAfter: "120"], []), times: 1)
            let first = try await deployment.registry.get("/v2/up/a/b/manifests/limited")
            #expect(first.status == 429 && first.headers[.retryAfter] == "120")
            try await deployment.heard()
            upstream.forgetRequests()
            for client in deployment.clients {
                let second = try await client.get(Self.path)
                let seconds = try #require(second.headers[.retryAfter].flatMap { Int($0) })
                #expect(second.status == 429 && (100...120).contains(seconds))
            }
            #expect(upstream.count("manifests") == 0)
        }
    }

    @Test("what upstream says of its limit is remembered, and an exhausted one respected")
    func remaining() async throws {
        try await Self.withUpstream { upstream, deployment in
            upstream.fault("manifests/t", .setHeader(.rateLimitRemaining, "7;w=21600"), times: 1)
            expectServed(try await deployment.registry.get(Self.path), Self.image.bytes)
            let remaining = try await deployment.client.query("SELECT rate_remaining, rate_window_s FROM upstream")
                .decodeFirst((Int, Int).self)
            #expect(remaining?.0 == 7 && remaining?.1 == 21_600)
            upstream.fault("manifests/t", .setHeader(.rateLimitRemaining, "0;w=21600"), times: 1)
            expectServed(try await deployment.registry.get(Self.path), Self.image.bytes)
            try await deployment.heard()
            upstream.forgetRequests()
            let stale = try await deployment.registry.get(Self.path)
            expectServed(stale, Self.image.bytes)
            #expect(stale.headers[values: .warning].first?.contains("nothing is left") == true)
            #expect(upstream.count("manifests") == 0)
            // Limits count manifests: what the last one that was granted names is still to be had.
            for blob in Self.image.blobs {
                #expect(try await deployment.registry.digest("/v2/up/a/b/blobs/\(blob.digest)").digest == blob.digest)
            }
        }
    }

    @Test(
        "a name that upstream hasn't is asked for once per half minute, however often it is typed, over all frontends"
    )
    func negativeAnswers() async throws {
        try await Self.withUpstream { upstream, deployment in
            // However slow the machine is, the answer doesn't age.
            let freshen: Query = "UPDATE job SET finalized_at = now() WHERE finalized_at IS NOT NULL"
            for number in 0..<20 {
                try await deployment.client.query(freshen)
                let got = try await deployment.clients[number % 2].get("/v2/up/a/b/manifests/typo")
                #expect(got.status == 404 && got.errorCode == "MANIFEST_UNKNOWN")
            }
            #expect(upstream.count("manifests/typo") == 1)
            // Published meanwhile: seen once the answer has aged.
            upstream.add(Self.image, to: "a/b", tag: "typo")
            try await deployment.client.query(freshen)
            #expect(try await deployment.registry.get("/v2/up/a/b/manifests/typo").status == 404)
            try await deployment.client.query("UPDATE job SET finalized_at = finalized_at - interval '31 seconds'")
            let late = try await deployment.registry.get("/v2/up/a/b/manifests/typo")
            expectServed(late, Self.image.bytes)
            let repositories = try await deployment.client.query("SELECT 1 FROM repository")
            #expect(repositories.count == 1)
        }
    }

    @Test("failures are never remembered as absence")
    func noNegativeFailures() async throws {
        try await Self.withUpstream { upstream, deployment in
            for status in [403, 500] {
                upstream.fault("manifests/late", .answer(status, [:], []), times: 3)
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/late").status != 404)
                upstream.clearFaults()
            }
            upstream.add(Self.image, to: "a/b", tag: "late")
            let late = try await deployment.registry.get("/v2/up/a/b/manifests/late")
            expectServed(late, Self.image.bytes)
        }
    }

    @Test("no more connections to an upstream than an operator allows, over all fetchers; the rest waits in line")
    func maximumConnections() async throws {
        try await Self.withUpstream { upstream, deployment in
            let blobs = (0..<8).map { ImageFixture.Blob.fixture(BlobFixture(seed: 500 + UInt64($0), size: 300_000)) }
            upstream.add(.image(layers: blobs), to: "a/b", tag: "many")
            #expect(try await deployment.registry.get("/v2/up/a/b/manifests/many").status == 200)
            try await deployment.client.query(
                """
                INSERT INTO upstream (base_url, max_connections) VALUES (\(upstream.url), 2)
                ON CONFLICT (base_url) DO UPDATE SET max_connections = 2
                """
            )
            let gate = Gate()
            upstream.fault("/blobs/", .hold(gate))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, blob) in blobs.enumerated() {
                    let client = deployment.clients[number % 2]
                    group.addTask {
                        let got = try await client.get("/v2/up/a/b/blobs/\(blob.digest)")
                        #expect(got.status == 200 && got.body.count == 300_000)
                    }
                }
                try await eventually("all are queued, two are on their way") {
                    let jobs = try await deployment.client.query(
                        "SELECT count(*) FROM job WHERE kind = 'blob_fetch'"
                    ).decodeFirst(Int.self)
                    return jobs == 8 && gate.arrivals == 2
                }
                let running = try await deployment.client.query("SELECT 1 FROM job WHERE state = 'running'")
                #expect(running.count == 2)
                gate.open()
                try await group.waitForAll()
            }
        }
    }

    @Test("requests to an upstream are spaced as an operator says, over all fetchers")
    func requestsPerSecond() async throws {
        try await Self.withUpstream { upstream, deployment in
            for number in 0..<6 { upstream.add(Self.image, to: "a/b", tag: "n\(number)") }
            try await deployment.client.query(
                "INSERT INTO upstream (base_url, requests_per_s) VALUES (\(upstream.url), 10)"
            )
            try await deployment.heard()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 {
                    let client = deployment.clients[number % 2]
                    group.addTask {
                        let got = try await client.get("/v2/up/a/b/manifests/n\(number)")
                        #expect(got.status == 200)
                    }
                }
                try await group.waitForAll()
            }
            // The line is in the database: six places, a tenth of a second each.
            let line = try await deployment.client.query(
                "SELECT extract(epoch FROM next_request_at - (SELECT min(created_at) FROM job))::float8 FROM upstream"
            ).decodeFirst(Double.self)
            #expect(try #require(line) >= 0.6)
        }
    }
}

extension HTTPField.Name {
    static let rateLimitRemaining = field("RateLimit-Remaining")
}
