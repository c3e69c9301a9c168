// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Fetchers that die in the middle of their work.
@Suite struct CrashTests {
    private static let size: Int64 = 8 * 1_048_576

    @Test("a fetcher killed at any point of a blob: another one resumes, clients get the right bytes after a pause")
    func killedFetcher() async throws {
        try await ScriptedUpstream.with { upstream in
            let environment = Deployment.shortLease
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, environment: environment) { deployment in
                var hasLateOne = false
                for round in 0..<6 {
                    let fixture = BlobFixture(seed: 100 + UInt64(round), size: Self.size)
                    let blob = ImageFixture.Blob.fixture(fixture)
                    upstream.add(.image(layers: [blob]), to: "a/b", tag: "r\(round)")
                    #expect(try await deployment.registry.get("/v2/up/a/b/manifests/r\(round)").status == 200)
                    upstream.forgetRequests()
                    // Upstream stands still after some bytes; the fetcher is killed then.
                    let gate = Gate()
                    let point = Int64(round) * Self.size / 5
                    upstream.fault(
                        "/blobs/",
                        .stall(after: min(point, Self.size - 1) / 262_144 * 262_144, gate),
                        times: 1
                    )
                    let path = "/v2/up/a/b/blobs/\(blob.digest)"
                    async let first = deployment.clients[0].digest(path)
                    async let second = deployment.clients[1].digest(path)
                    try await eventually("upstream stands") { gate.arrivals == 1 }
                    // Only what is in the file can be resumed.
                    try await eventually("a part is stored") {
                        let folder = deployment.storage.path + "/storage/partials/"
                        let parts = try deployment.partials().filter { $0.contains(blob.digest.hex) }
                        return try round == 0 || parts.contains { try fileSize(folder + $0) > 0 }
                    }
                    let victim = try #require(deployment.fetchers.last)
                    try await victim.stop(SIGKILL)
                    gate.open()
                    try await deployment.addFetcher()
                    for (status, digest, _) in [try await first, try await second] {
                        #expect(status == 200 && digest == blob.digest, "round \(round)")
                    }
                    // More than one when a slow machine keeps a heartbeat longer than the lease lasts.
                    let ranges = upstream.requests.filter { $0.path.contains("/blobs/") }.map { $0.headers[.range] }
                    #expect(ranges.count >= 2)
                    // One that was thought dead while it still had the partial left the next one none.
                    let isLate = victim.lines.contains { $0.contains("lease lost") || $0.contains("jobs rescued") }
                    hasLateOne = hasLateOne || isLate
                    #expect(round == 0 || isLate || !ranges.dropFirst().contains(nil), "round \(round)")
                }
                try await eventually("every blob is published") { try deployment.published().count == 6 }
                if !hasLateOne { #expect(try deployment.partials().isEmpty) }
            }
        }
    }

    @Test("a fetcher that was paused past its lease publishes nothing and harms nothing")
    func zombie() async throws {
        try await ScriptedUpstream.with { upstream in
            let fixture = BlobFixture(seed: 200, size: Self.size)
            let blob = ImageFixture.Blob.fixture(fixture)
            upstream.add(.image(layers: [blob]), to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], environment: Deployment.shortLease) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                let gate = Gate()
                upstream.fault("/blobs/", .stall(after: 1_048_576, gate), times: 1)
                let path = "/v2/up/a/b/blobs/\(blob.digest)"
                async let client = deployment.registry.digest(path)
                try await eventually("upstream stands") { gate.arrivals == 1 }
                let zombie = try #require(deployment.fetchers.last)
                zombie.kill(SIGSTOP)
                try await deployment.addFetcher()
                try await eventually("the other fetcher has published") { try deployment.published().count == 1 }
                zombie.kill(SIGCONT)
                gate.open()
                let got = try await client.digest
                #expect(got == blob.digest)
                try await zombie.line(containing: "lease lost")
                // A sweep, if the zombie couldn't do it itself; and it may have published before it noticed.
                try await eventually("nothing of the zombie is left", within: .seconds(180)) {
                    try deployment.partials().isEmpty && deployment.published().count == 1
                }
                #expect(try await deployment.registry.digest(path).digest == blob.digest)
            }
        }
    }

    @Test("a fetcher that loses its lease between storing a blob and saying so takes back what it has stored")
    func robbedLate() async throws {
        try await ScriptedUpstream.with { upstream in
            let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 250, size: Self.size))
            upstream.add(.image(layers: [blob]), to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                let path = "/v2/up/a/b/blobs/\(blob.digest)"
                try await deployment.client.withTransaction { transaction in
                    // What says so waits for this lock; the bytes don't.
                    try await transaction.query("SELECT 1 FROM organization_usage FOR UPDATE")
                    #expect(try await deployment.registry.digest(path).digest == blob.digest)
                    try await eventually("the bytes are stored") { try deployment.published().count == 1 }
                    try await deployment.client.query(
                        """
                        UPDATE job SET lease_token = nextval('job_lease_token'), lease_expires_at = now() + interval '1 hour'
                        WHERE kind = 'blob_fetch' AND state = 'running'
                        """
                    )
                    // By its heartbeats, or when it couldn't have the lock and goes to say so.
                    try await eventually("it has noticed") {
                        deployment.fetchers[0].lines.contains { $0.contains("lease lost") || $0.contains("leaseLost") }
                    }
                }
                try await eventually("it has taken them back") { try deployment.published().isEmpty }
                // The thief is a dead one.
                try await deployment.client.query("UPDATE job SET lease_expires_at = now() WHERE state = 'running'")
                #expect(try await deployment.registry.digest(path).digest == blob.digest)
                try await eventually("they are stored again") { try deployment.published().count == 1 }
            }
        }
    }

    @Test("a fetcher asked to end hands its work to another one at once")
    func gracefulHandOver() async throws {
        try await ScriptedUpstream.with { upstream in
            let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 300, size: Self.size))
            upstream.add(.image(layers: [blob]), to: "a/b", tag: "t")
            let environment = ["ENTREPOT_FETCHER_LEASE": "600s", "ENTREPOT_SHUTDOWN_GRACE": "10s"]
            try await Deployment.with(["up=\(upstream.url)"], environment: environment) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                let gate = Gate()
                upstream.fault("/blobs/", .stall(after: 1_048_576, gate), times: 1)
                async let client = deployment.registry.digest("/v2/up/a/b/blobs/\(blob.digest)")
                try await eventually("upstream stands") { gate.arrivals == 1 }
                try await deployment.addFetcher()
                #expect(try await deployment.fetchers[0].stop(SIGTERM) == 0)
                gate.open()
                // The lease would last ten minutes: only a hand-over ends this in time.
                let got = try await client.digest
                #expect(got == blob.digest)
                #expect(upstream.count("/blobs/") == 2)
            }
        }
    }

    @Test("a frontend killed under its clients leaves the fetch alone")
    func killedFrontend() async throws {
        try await ScriptedUpstream.with { upstream in
            let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 400, size: Self.size))
            upstream.add(.image(layers: [blob]), to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                let gate = Gate()
                upstream.fault("/blobs/", .stall(after: 1_048_576, gate), times: 1)
                let path = "/v2/up/a/b/blobs/\(blob.digest)"
                _ = try await deployment.clients[0].getPart(path, atLeast: 1_000)
                try await eventually("upstream stands") { gate.arrivals == 1 }
                try await deployment.frontends[0].stop(SIGKILL)
                gate.open()
                #expect(try await deployment.clients[1].digest(path).digest == blob.digest)
                #expect(upstream.count("/blobs/") == 1)
            }
        }
    }
}
