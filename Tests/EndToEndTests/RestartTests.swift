// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import Synchronization
import TestSupport
import Testing

/// Frontends and database that are restarted while clients pull.
///
/// Their time includes what they wait for other tests' deployments.
@Suite("Restarts under load", .timeLimit(.minutes(15)))
struct RestartTests {
    private static let image = ImageFixture.single(seed: 75, size: 500_000)

    /// Sends each pull to the next frontend that says it is ready, as a load balancer does.
    private final class Balancer: Sendable {
        private struct State {
            /// Who was asked when last it said that it is ready; nil for one that isn't.
            var backends: [(registry: TestClient, health: TestClient, readyAt: ContinuousClock.Instant?)] = []

            /// A look that is long ago says nothing any more: the one that it is of may have begun to leave.
            var ready: [TestClient] {
                backends.filter { $0.readyAt.map { .now - $0 < .seconds(5) } == true }.map(\.registry)
            }
            var next = 0
        }

        private let state = Mutex(State())

        func add(_ registry: TestClient, _ frontend: TestProcess) async throws {
            let health = try await frontend.internalClient()
            state.withLock { $0.backends.append((registry, health, nil)) }
            await look()
        }

        /// Asks all of them; one that doesn't answer isn't ready.
        func look() async {
            for (index, backend) in state.withLock({ $0.backends }).enumerated() {
                let asked = ContinuousClock.now
                let answer = try? await backend.health.get("/readyz")
                state.withLock { $0.backends[index].readyAt = answer?.status == 200 ? asked : nil }
            }
        }

        var readyCount: Int { state.withLock { $0.ready.count } }

        /// Nil while none is ready.
        private func pick() -> TestClient? {
            state.withLock { state in
                let ready = state.ready
                guard !ready.isEmpty else { return nil }
                state.next += 1
                return ready[state.next % ready.count]
            }
        }

        /// The next one that is ready; nil when the load is over. Pulls queue while none is: a busy machine may keep all from
        /// saying so in time.
        func next(_ load: Load) async throws -> TestClient? {
            while !load.isOver {
                if let registry = pick() { return registry }
                try await Task.sleep(for: .milliseconds(20))
            }
            return nil
        }
    }

    /// What the clients of a test share.
    private final class Load: Sendable {
        private let tally = Mutex((pulls: 0, failures: [String]()))
        private let flag = Atomic(false)

        var isOver: Bool { flag.load(ordering: .acquiring) }
        /// Pulls that were answered with what they asked for.
        var pulls: Int { tally.withLock { $0.pulls } }
        var failures: [String] { tally.withLock { $0.failures } }

        func end() { flag.store(true, ordering: .releasing) }

        /// - Parameter failure: nil for a pull that went well
        func add(_ failure: String?) {
            tally.withLock { tally in
                if let failure { tally.failures.append(failure) } else { tally.pulls += 1 }
            }
        }
    }

    @Test("two frontends are replaced one after the other while clients pull: no pull fails")
    func rolling() async throws {
        let layer = try #require(Self.image.blobs.last)
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            let environment = ["ENTREPOT_SHUTDOWN_DELAY": "15s"]
            try await Deployment.with(["cache=\(upstream.url)"], frontends: 2, environment: environment) { deployment in
                let balancer = Balancer()
                for (client, process) in zip(deployment.clients, deployment.frontends) {
                    try await balancer.add(client, process)
                }
                let load = Load()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 {
                        group.addTask {
                            while let registry = try await balancer.next(load) {
                                load.add(await pull(layer, from: registry))
                            }
                        }
                    }
                    group.addTask {
                        while !load.isOver {
                            await balancer.look()
                            try await Task.sleep(for: .milliseconds(100))  // as balancers do: it isn't waited for
                        }
                    }
                    defer { load.end() }
                    for old in deployment.frontends {
                        let before = load.pulls
                        try await eventually("pulls go on") { load.pulls > before + 20 }
                        old.kill(SIGTERM)
                        #expect(try await old.exitStatus() == 0)
                        try await deployment.addFrontend()
                        let (client, process) = (deployment.clients.last, deployment.frontends.last)
                        try await balancer.add(try #require(client), try #require(process))
                        try await eventually("two are ready") { balancer.readyCount == 2 }
                    }
                }
                #expect(load.failures == [])
                #expect(load.pulls > 40)
            }
        }
    }

    /// Pulls manifest and layer; says what went wrong.
    private func pull(_ layer: ImageFixture.Blob, from registry: TestClient) async -> String? {
        do {
            let manifest = try await registry.get("/v2/cache/app/manifests/1")
            guard manifest.status == 200, manifest.failure == nil else { return "manifest: \(manifest.status)" }
            let blob = try await registry.digest("/v2/cache/app/blobs/\(layer.digest)")
            guard blob.status == 200, blob.digest == layer.digest else { return "layer: \(blob.status)" }
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Pulls the small image's manifest; a status that a client must not see there is a failure.
    private func pullSmall(_ registry: TestClient, _ load: Load) async throws -> Int {
        let answer = try await registry.get("/v2/cache/small/manifests/1")
        switch answer.status {
        case 200: load.add(nil)
        case 503 where answer.headers[.retryAfter] != nil: break
        default: load.add("\(answer.status): \(answer.text)")
        }
        return answer.status
    }

    @Test(
        "the database is restarted: a blob that is being sent arrives, others are told to come again, all goes on, and every pull that was answered is in the log"
    )
    func database() async throws {
        let large = ImageFixture.single(seed: 76, size: 48_000_000)
        let small = ImageFixture.single(seed: 77, size: 1_000)
        let cluster = try await PostgresCluster.own()
        try await ScriptedUpstream.with { upstream in
            upstream.add(large, to: "large", tag: "1")
            upstream.add(small, to: "small", tag: "1")
            let environment = Deployment.shortLease
            try await Deployment.with(["cache=\(upstream.url)"], environment: environment, cluster: cluster) {
                deployment in
                let layer = try #require(large.blobs.last)
                let registry = deployment.registry
                let load = Load()
                #expect(try await registry.get("/v2/cache/large/manifests/1").status == 200)
                #expect(try await registry.digest("/v2/cache/large/blobs/\(layer.digest)").digest == layer.digest)
                _ = try await deployment.placedFile()
                #expect(try await pullSmall(registry, load) == 200)

                // Under way, and not read further: it has to be sent while the database is gone.
                let response = try await registry.open("/v2/cache/large/blobs/\(layer.digest)")
                var body = response.body.makeAsyncIterator()
                var hasher = DigestHasher(.sha256)
                if let first = try await body.next() { hasher.update(first) }

                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 {
                        group.addTask {
                            while !load.isOver {
                                // Nobody hammers a registry that says 503.
                                if try await pullSmall(registry, load) == 503 {
                                    try await Task.sleep(for: .milliseconds(20))
                                }
                            }
                        }
                    }
                    defer { load.end() }
                    let before = load.pulls
                    try await eventually("pulls go on") { load.pulls > before + 10 }
                    try await cluster.stop()
                    #expect(try await pullSmall(registry, load) == 503)
                    while let chunk = try await body.next() { hasher.update(chunk) }
                    #expect(hasher.finalize() == layer.digest)
                    try await cluster.start()
                    let after = load.pulls
                    try await eventually("pulls go on") { load.pulls > after + 10 }
                }
                let other = ImageFixture.single(seed: 78, size: 1_000)
                upstream.add(other, to: "other", tag: "1")
                try await eventually("the fetcher works again") {
                    try await registry.get("/v2/cache/other/manifests/1").status == 200
                }
                let written = try await deployment.client.query(
                    "SELECT count(*) FROM log_entry WHERE kind = 'pull_repo' AND repository LIKE '%small'"
                ).decodeFirst(Int.self)
                #expect(load.failures == [])
                #expect((written ?? 0) >= load.pulls)
                for process in deployment.frontends + deployment.fetchers {
                    let health = try await process.internalClient()
                    try await eventually("\(process.name) is ready") { try await health.get("/readyz").status == 200 }
                }
            }
        }
    }
}
