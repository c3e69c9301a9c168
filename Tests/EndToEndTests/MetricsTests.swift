// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// What Prometheus sees of a pull.
@Suite("Metrics of the programs")
struct MetricsTests {
    private static let image = ImageFixture.single(seed: 71, size: 300_000)

    private func metrics(of process: TestProcess) async throws -> Exposed {
        let answer = try await process.internalClient().get("/metrics")
        #expect(answer.status == 200)
        #expect(answer.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
        return try Exposed(answer.text)
    }

    @Test("a service may have as many files open as the machine lets it")
    func openFiles() async throws {
        let folder = try TemporaryDirectory()
        for program in ["registry-frontend", "upstream-fetcher"] {
            let path = "\(folder.path)/\(program)"
            try "#!/bin/sh\nulimit -S -n 256 && exec '\(Executables.path(program))' \"$@\"\n"
                .write(toFile: path, atomically: true, encoding: .utf8)
            #expect(chmod(path, 0o755) == 0)
        }
        var limit = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        try await Deployment.with(["cache=http://127.0.0.1:9"], programs: folder.path) { deployment in
            for process in deployment.frontends + deployment.fetchers {
                let most = try await metrics(of: process)["process_max_fds"]
                #expect(most == Double(min(limit.rlim_max, 1 << 20)))
            }
        }
    }

    @Test("a cold and a warm pull move the metrics of frontend and fetcher by what they are")
    func pulls() async throws {
        let layer = try #require(Self.image.blobs.last)
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"]) { deployment in
                for _ in 0..<2 {
                    #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 200)
                    #expect(try await deployment.registry.digest("/v2/cache/app/blobs/\(layer.digest)").status == 200)
                    _ = try await deployment.placedFile()
                }
                #expect(try await deployment.registry.get("/v2/cache/app/manifests/none").status == 404)

                let frontend = try await metrics(of: deployment.frontends[0])
                let size = Double(layer.size)
                for (kind, outcome) in [
                    ("manifest", "miss"), ("manifest", "revalidated"), ("manifest", "error"), ("blob", "miss"),
                    ("blob", "hit"),
                ] {
                    #expect(frontend["entrepot_pulls_total{kind=\"\(kind)\",outcome=\"\(outcome)\"}"] == 1)
                }
                #expect(frontend[#"entrepot_pulls_total{kind="manifest",outcome="stale"}"#] == 0)
                #expect(frontend[#"entrepot_served_bytes_total{kind="blob"}"#] == 2 * size)
                #expect(frontend[#"entrepot_saved_bytes_total{kind="blob"}"#] == size)
                #expect(frontend[#"entrepot_responses_total{status="2xx"}"#] == 4)
                #expect(frontend[#"entrepot_responses_total{status="4xx"}"#] == 1)
                #expect(frontend[#"entrepot_first_byte_seconds_count{kind="manifest"}"#] == 3)
                #expect(frontend[#"entrepot_fetch_wait_seconds_count{kind="manifest_fetch"}"#] == 3)
                #expect(frontend[#"entrepot_fetch_wait_seconds_count{kind="blob_fetch"}"#] == 1)
                #expect((frontend["entrepot_log_wait_seconds_count"] ?? 0) >= 3)
                #expect((frontend["entrepot_log_batch_entries_sum"] ?? 0) >= 3)
                #expect(frontend["entrepot_log_failed_entries_total"] == 0)
                #expect((frontend["process_resident_memory_bytes"] ?? 0) > 1_000_000)
                let (free, whole) = (frontend["entrepot_storage_free_bytes"], frontend["entrepot_storage_size_bytes"])
                #expect((free ?? 0) > 0 && (free ?? 0) <= (whole ?? 0))

                let fetcher = try await metrics(of: deployment.fetchers[0])
                let asked = "entrepot_upstream_requests_total{status=\"2xx\",upstream=\"\(upstream.url)\"}"
                #expect((fetcher[asked] ?? 0) >= 3)
                #expect(fetcher.sum("entrepot_upstream_bytes_total") >= size)
                #expect(fetcher[#"entrepot_jobs_total{kind="blob_fetch",outcome="completed"}"#] == 1)
                #expect(fetcher[#"entrepot_job_seconds_count{kind="manifest_fetch"}"#] == 3)
            }
        }
    }

    @Test("what the database knows is told by every service: queues, usage and limits, breakers")
    func readings() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 200)
                try await deployment.limit("cache", to: 10_000_000)
                try await deployment.client.query(
                    """
                    INSERT INTO upstream (base_url, open_until, rate_remaining, rate_window_s, rate_seen_at)
                    VALUES ('https://registry.example.com', now() + interval '1 hour', 7, 600, now()),
                        ('https://quiet.example.com', NULL, 3, 60, now() - interval '2 minutes'),
                        ('https://terse.example.com', NULL, 3, NULL, now() - interval '2 hours')
                    """
                )
                try await deployment.addPruner()
                let pruner = deployment.keepers[0]
                try await eventually("the pruner has read the database") {
                    try await metrics(of: pruner)["entrepot_database_up"] == 1
                }
                let told = try await metrics(of: pruner)
                #expect((told[#"entrepot_organization_usage_bytes{organization="cache"}"#] ?? 0) > 0)
                #expect(told[#"entrepot_organization_limit_bytes{organization="cache"}"#] == 10_000_000)
                #expect(told[#"entrepot_queue_jobs{queue="manifests",state="available"}"#] == 0)
                #expect(told[#"entrepot_queue_oldest_due_seconds{queue="blobs"}"#] == 0)
                #expect(told[#"entrepot_upstream_breaker_open{upstream="https://registry.example.com"}"#] == 1)
                #expect(told[#"entrepot_upstream_rate_limit_remaining{upstream="https://registry.example.com"}"#] == 7)
                // Their windows have ended: nobody knows what is left.
                for upstream in ["https://quiet.example.com", "https://terse.example.com"] {
                    #expect(told["entrepot_upstream_breaker_open{upstream=\"\(upstream)\"}"] == 0)
                    #expect(told["entrepot_upstream_rate_limit_remaining{upstream=\"\(upstream)\"}"] == nil)
                }
                #expect(told["entrepot_garbage_bytes"] == 0)
            }
        }
    }

    @Test("what nobody takes up is told as a queue that gets older")
    func queues() async throws {
        try await ScriptedUpstream.with { upstream in
            let environment = ["ENTREPOT_MANIFEST_TIMEOUT": "3s"]
            try await Deployment.with(["cache=\(upstream.url)"], fetchers: 0, environment: environment) { deployment in
                #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 504)
                try await deployment.addPruner()
                let pruner = deployment.keepers[0]
                try await eventually("the pruner has read the database") {
                    try await metrics(of: pruner)["entrepot_database_up"] == 1
                }
                let told = try await metrics(of: pruner)
                #expect(told[#"entrepot_queue_jobs{queue="manifests",state="available"}"#] == 1)
                #expect((told[#"entrepot_queue_oldest_due_seconds{queue="manifests"}"#] ?? 0) > 0.1)
                #expect(told[#"entrepot_queue_oldest_due_seconds{queue="blobs"}"#] == 0)
            }
        }
    }

    @Test("a job that is taken from a killed fetcher is counted")
    func rescue() async throws {
        let layer = try #require(Self.image.blobs.last)
        let gate = Gate()
        try await ScriptedUpstream.with { upstream in
            defer { gate.open() }  // or nothing ends when something fails
            upstream.add(Self.image, to: "app", tag: "1")
            upstream.fault("GET /v2/app/blobs/\(layer.digest)", .stall(after: 100_000, gate))
            let environment = Deployment.shortLease
            try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 200)
                async let pull = deployment.registry.digest("/v2/cache/app/blobs/\(layer.digest)")
                try await eventually("the layer is under way") { gate.arrivals >= 1 }
                deployment.fetchers[0].kill(SIGKILL)
                try await deployment.addFetcher()
                try await eventually("the job is rescued") {
                    try await metrics(of: deployment.fetchers[1])["entrepot_lease_rescues_total"] ?? 0 >= 1
                }
                gate.open()
                #expect(try await pull.digest == layer.digest)
            }
        }
    }

    @Test("promtool finds nothing amiss in what is told, nor in the alerts and when they fire")
    func promtool() async throws {
        let folder = try TemporaryDirectory()
        try await Deployment.with([]) { deployment in
            for process in deployment.frontends + deployment.fetchers {
                let text = try await process.internalClient().get("/metrics").text
                let file = folder.path + "/metrics"
                try text.write(toFile: file, atomically: true, encoding: .utf8)
                #expect(try await run("sh", ["-c", "promtool check metrics <\(file)"]) == "")
            }
        }
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "deploy/prometheus").path
        try await run("promtool", ["check", "rules", root + "/alerts.yml"])
        try await run("promtool", ["test", "rules", root + "/alerts.test.yml"])
    }

    @Test("what a collector frees is counted")
    func collection() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"]) { deployment in
                let layer = try #require(Self.image.blobs.last)
                #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 200)
                #expect(try await deployment.registry.digest("/v2/cache/app/blobs/\(layer.digest)").status == 200)
                _ = try await deployment.placedFile()
                try await deployment.client.query(
                    "UPDATE tag SET lifetime_end_at = now(), end_reason = 'deleted'"
                )
                try await deployment.addCollector()
                let collector = deployment.keepers[0]
                try await eventually("the layer is collected") {
                    try await metrics(of: collector)["entrepot_collected_bytes_total"] == Double(layer.size)
                }
                #expect(try await metrics(of: collector)[#"entrepot_collected_items_total{step="tags"}"#] == 1)
            }
        }
    }
}
