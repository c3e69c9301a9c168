// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// The collector beside everything else.
@Suite struct CollectionTests {
    private func count(_ table: String, _ deployment: Deployment) async throws -> Int {
        try await deployment.client.query("SELECT count(*) FROM \(unescaped: table)").decodeFirst(Int.self) ?? -1
    }

    /// Pulls, and waits until all of it is stored.
    private func pull(_ tag: String, _ image: ImageFixture, _ deployment: Deployment) async throws {
        expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/\(tag)"), image.bytes, "\(tag)")
        for blob in image.blobs {
            let (status, digest, _) = try await deployment.registry.digest("/v2/up/a/b/blobs/\(blob.digest)")
            #expect(status == 200 && digest == blob.digest, "\(tag)")
        }
        try await deployment.stored()
    }

    /// Pulls an image that may be pruned meanwhile; says how much of it was wrong. Who takes longer than the grace finds a
    /// blob gone, and begins again.
    private func pullAnyhow(_ tag: String, _ image: ImageFixture, _ registry: TestClient) async throws -> Int {
        pulling: for _ in 0..<20 {
            let start = ContinuousClock.now
            let answer = try await registry.get("/v2/up/a/b/manifests/\(tag)")
            if answer.status == 503 { continue }  // the database is busy, as clients are told
            var wrong = answer.body == image.bytes ? 0 : 1
            for blob in image.blobs {
                let (status, digest, _) = try await registry.digest("/v2/up/a/b/blobs/\(blob.digest)")
                if status == 503 || status == 404 && ContinuousClock.now - start > .seconds(10) { continue pulling }
                if status != 200 || digest != blob.digest { wrong += 1 }
            }
            return wrong
        }
        return 1
    }

    private func end(_ tag: String, _ deployment: Deployment) async throws {
        let organization = try #require(
            try await OrganizationStore().find(OrganizationName("up"), on: deployment.client)
        )
        _ = try await LifetimeStore().delete(
            TagName(tag),
            repository: RepositoryName("a/b"),
            organization: organization.id,
            on: deployment.client
        )
    }

    /// Nothing is left of what no tag names.
    private func expectEmpty(_ deployment: Deployment) async throws {
        try await eventually("everything is collected") {
            for table in ["repository_manifest", "manifest", "blob", "garbage", "repository"] {
                guard try await count(table, deployment) == 0 else { return false }
            }
            return try deployment.published().isEmpty
        }
    }

    @Test("a deleted tag's image goes, bytes and all, and what another tag shares stays")
    func collection() async throws {
        try await ScriptedUpstream.with { upstream in
            let shared = ImageFixture.Blob.fixture(BlobFixture(seed: 1, size: 100_000))
            let one = ImageFixture.image(layers: [shared, .fixture(BlobFixture(seed: 2, size: 50_000))])
            let two = ImageFixture.image(layers: [shared], config: .text("{\"two\":2}"))
            upstream.add(one, to: "a/b", tag: "one")
            upstream.add(two, to: "a/b", tag: "two")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await pull("one", one, deployment)
                try await pull("two", two, deployment)
                try await end("one", deployment)
                try await deployment.addCollector()
                try await eventually("the layer that only one had is gone") { try deployment.published().count == 2 }
                try await pull("two", two, deployment)
                try await end("two", deployment)
                try await expectEmpty(deployment)
                // It is a cache: whoever asks gets it again.
                try await pull("one", one, deployment)
            }
        }
    }

    @Test("the time machine keeps what was deleted for as long as the organization says, and gives it back")
    func timeMachine() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.single(seed: 3, size: 20_000)
            upstream.add(image, to: "a/b", tag: "t")
            let pruned = ImageFixture.single(seed: 4, size: 20_000)
            upstream.add(pruned, to: "a/b", tag: "pruned")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await pull("t", image, deployment)
                try await pull("pruned", pruned, deployment)
                try await deployment.client.query("UPDATE organization SET time_machine_s = 3600")
                try await end("t", deployment)
                try await end("pruned", deployment)
                try await deployment.client.query("UPDATE tag SET end_reason = 'pruned' WHERE name = 'pruned'")
                try await deployment.addCollector()
                let collector = try #require(deployment.keepers.first)
                // What isn't kept shows that the collector has been through all of its steps.
                try await eventually("the pruned one's layer is collected") {
                    try !deployment.published().contains { $0.contains(pruned.blobs[1].digest.hex) }
                }
                try await collector.line(containing: "collected count=1 step=objects")
                #expect(try deployment.published().count == 2)
                let lifetime = try #require(
                    try await deployment.client.query("SELECT id FROM tag WHERE name = 't'").decodeFirst(Int64.self)
                )
                let organization = try #require(
                    try await OrganizationStore().find(OrganizationName("up"), on: deployment.client)
                )
                let isRevived = try await LifetimeStore().revive(
                    TagID(rawValue: lifetime),
                    organization: organization.id,
                    on: deployment.client
                )
                #expect(isRevived)
                upstream.forgetRequests()
                try await pull("t", image, deployment)
                #expect(upstream.count("/blobs/") == 0)
                #expect(try await collector.stop(SIGTERM) == 0)
            }
        }
    }

    /// Rows that hold a collector up: the table that a step writes to first, or the total that it adds to last.
    enum Obstacle: Sendable, CustomStringConvertible {
        case table(String)
        case total(CollectionCount.Kind)

        static let tables = [
            "tag", "repository_manifest", "manifest", "blob_candidate", "blob", "garbage", "collection_total",
            "repository",
        ]
        static let steps: [CollectionCount.Kind] = [
            .tags, .memberships, .manifests, .condemned, .blobs, .objects, .repositories,
        ]
        static let all = tables.map(Self.table) + steps.map(Self.total)

        var description: String {
            switch self {
            case .table(let name): "table \(name)"
            case .total(let kind): "total of \(kind)"
            }
        }

        var query: Query {
            switch self {
            case .table(let name): "LOCK TABLE \(unescaped: name) IN SHARE MODE"
            case .total(let kind): "SELECT 1 FROM collection_total WHERE kind = \(kind.rawValue) FOR UPDATE"
            }
        }
    }

    @Test("a collector killed at the beginning or the end of any step leaves what the next one finishes")
    func killed() async throws {
        try await ScriptedUpstream.with { upstream in
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for kind in Obstacle.steps {
                    try await deployment.client.query("INSERT INTO collection_total (kind) VALUES (\(kind.rawValue))")
                }
                for (number, obstacle) in Obstacle.all.enumerated() {
                    let image = ImageFixture.single(seed: 50 + UInt64(number), size: 30_000)
                    upstream.add(image, to: "a/b", tag: "t\(number)")
                    try await pull("t\(number)", image, deployment)
                    try await end("t\(number)", deployment)
                    try await deployment.client.withTransaction { transaction in
                        try await transaction.query(obstacle.query)
                        try await deployment.addCollector()
                        let victim = try #require(deployment.keepers.last)
                        try await eventually("the collector waits for the \(obstacle)") {
                            let waiting = try await deployment.client.query(
                                """
                                SELECT 1 FROM pg_stat_activity
                                WHERE application_name = 'garbage-collector' AND datname = current_database()
                                    AND cardinality(pg_blocking_pids(pid)) > 0
                                """
                            )
                            return !waiting.isEmpty
                        }
                        try await victim.stop(SIGKILL)
                    }
                    try await deployment.addCollector()
                    let next = try #require(deployment.keepers.last)
                    try await expectEmpty(deployment)
                    #expect(try await next.stop(SIGTERM) == 0)
                    #expect(try await count("tag", deployment) == 0, "\(obstacle)")
                }
            }
        }
    }

    @Test("a dry run says what would go and changes nothing; what went is told by the command line")
    func dryRun() async throws {
        try await ScriptedUpstream.with { upstream in
            let images = (0..<2).map { ImageFixture.single(seed: 90 + UInt64($0), size: 20_000) }
            for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "t\(number)") }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for (number, image) in images.enumerated() {
                    try await pull("t\(number)", image, deployment)
                }
                try await eventually("the pulls are written down") {
                    try await deployment.client.query("SELECT 1 FROM tag WHERE last_pulled_at IS NULL").isEmpty
                }
                try await end("t0", deployment)
                let kept = try deployment.published()
                let file = try #require(kept.first { $0.contains(images[1].blobs[1].digest.hex) })
                // The same name but for its generation, of which no row speaks.
                let orphan = try #require(file.split(separator: ".").dropLast().first) + ".\(Generation())"
                try Data("orphan!".utf8).write(to: URL(filePath: String(orphan)))
                let tables = [
                    "tag", "repository_manifest", "manifest", "blob", "garbage", "member_candidate",
                    "manifest_candidate",
                    "blob_candidate", "collection_total", "repository",
                ]
                func state() async throws -> [String] {
                    var state = try deployment.published().sorted()
                    for table in tables {
                        state += try await deployment.client.query(
                            "SELECT t::text FROM \(unescaped: table) t ORDER BY 1"
                        )
                        .decode(String.self)
                    }
                    return state
                }
                let before = try await state()
                let said = try await deployment.run(
                    "garbage-collector",
                    ["--dry-run"],
                    ["ENTREPOT_GC_GRACE": "0s", "ENTREPOT_DEFAULT_TAG_EXPIRATION": "0s"]
                )
                #expect(said.contains("tags\t1\t0 bytes") && said.contains("blobs\t0\t0 bytes"), "\(said)")
                #expect(said.contains("orphans\t1\t7 bytes") && said.contains("lost\t0\t0 bytes"), "\(said)")
                #expect(try await state() == before)
                try removeFile(file)
                let later = try await deployment.run("garbage-collector", ["--dry-run"], ["ENTREPOT_GC_GRACE": "0s"])
                #expect(later.contains("tags\t0\t0 bytes"), "the time machine keeps it: \(later)")
                #expect(later.contains("lost\t1\t0 bytes"), "\(later)")

                try await deployment.addCollector(["ENTREPOT_GC_SWEEP_INTERVAL": "50ms"])
                struct Status: Decodable {
                    struct Count: Decodable, Hashable { let kind: String, items: Int64, bytes: Int64 }
                    let pending: [Count], collected: [Count]
                }
                var status: Status?
                try await eventually("all of it went, and is told") {
                    let text = try await deployment.entrepot(["gc", "status", "--json"])
                    let told = try JSONDecoder().decode(Status.self, from: Data(text.utf8))
                    status = told
                    return told.collected.contains { $0.kind == "objects" && $0.items == 1 }
                        && told.collected.contains { $0.kind == "lost" && $0.items == 1 }
                        && told.collected.contains { $0.kind == "orphans" && $0.items == 1 }
                }
                let collected = try #require(status).collected
                #expect(collected.contains(.init(kind: "tags", items: 1, bytes: 0)))
                #expect(collected.contains(.init(kind: "objects", items: 1, bytes: 20_000)))
                #expect(collected.contains(.init(kind: "orphans", items: 1, bytes: 7)))
                #expect(try #require(status).pending.allSatisfy { $0.items == 0 })
                let table = try await deployment.entrepot(["gc", "status"])
                #expect(table.contains("would go") && table.contains("went"), "\(table)")
            }
        }
    }

    @Test("clients that pull the same images while collector and pruner run flat out get every byte right")
    func flatOut() async throws {
        try await ScriptedUpstream.with { upstream in
            let shared = ImageFixture.Blob.fixture(BlobFixture(seed: 70, size: 40_000))
            let images = (0..<8).map { number in
                ImageFixture.image(
                    layers: [shared, .fixture(BlobFixture(seed: 71 + UInt64(number), size: 60_000))],
                    config: .text("{\"number\":\(number)}")
                )
            }
            for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "t\(number)") }
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                // Room for two of eight, so that every other pull prunes.
                try await deployment.limit("up", to: 180_000)
                try await deployment.addPruner()
                for _ in 0..<2 {
                    // Longer than frontends remember what a repository has.
                    try await deployment.addCollector(["ENTREPOT_GC_GRACE": "12s", "ENTREPOT_GC_INTERVAL": "1ms"])
                }
                // Pulls four of the images.
                func crowd(from first: Int) async throws -> Int {
                    try await withThrowingTaskGroup(of: Int.self) { group in
                        for client in 0..<50 {
                            group.addTask {
                                var wrong = 0
                                for round in 0..<6 {
                                    let number = first + (client + round) % 4
                                    let registry = deployment.clients[client % 2]
                                    wrong += try await pullAnyhow("t\(number)", images[number], registry)
                                }
                                return wrong
                            }
                        }
                        return try await group.reduce(0, +)
                    }
                }
                #expect(try await crowd(from: 0) == 0)
                // Those aren't pulled again before their grace is over; then they are back, beside the collectors.
                try await eventually("something is collected", within: .seconds(180)) {
                    #expect(try await crowd(from: 4) == 0)
                    let objects = "SELECT 1 FROM collection_total WHERE kind = 'objects' AND items > 0"
                    return try await !deployment.client.query("\(unescaped: objects)").isEmpty
                }
                #expect(try await crowd(from: 0) == 0)
                let organization = try #require(
                    try await OrganizationStore().find(OrganizationName("up"), on: deployment.client)
                )
                #expect(try await UsageStore().recompute(organization.id, on: deployment.client) == nil)
                for process in deployment.keepers {
                    #expect(!process.lines.contains { $0.contains("deadlock") })
                }
            }
        }
    }
}
