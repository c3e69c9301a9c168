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

    private func pull(_ tag: String, _ image: ImageFixture, by client: TestClient) async throws {
        expectServed(try await client.get("/v2/up/a/b/manifests/\(tag)"), image.bytes, "\(tag)")
        for blob in image.blobs {
            let (status, digest, _) = try await client.digest("/v2/up/a/b/blobs/\(blob.digest)")
            #expect(status == 200 && digest == blob.digest, "\(tag)")
        }
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
                try await pull("one", one, by: deployment.registry)
                try await pull("two", two, by: deployment.registry)
                try await end("one", deployment)
                try await deployment.addCollector()
                try await eventually("the layer that only one had is gone") { try deployment.published().count == 2 }
                try await pull("two", two, by: deployment.registry)
                try await end("two", deployment)
                try await expectEmpty(deployment)
                // It is a cache: whoever asks gets it again.
                try await pull("one", one, by: deployment.registry)
            }
        }
    }

    @Test("the time machine keeps what was deleted for as long as the organization says, and gives it back")
    func timeMachine() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.single(seed: 3, size: 20_000)
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await pull("t", image, by: deployment.registry)
                try await deployment.client.query("UPDATE organization SET time_machine_s = 3600")
                try await end("t", deployment)
                try await deployment.addCollector()
                let collector = try #require(deployment.keepers.first)
                try await eventually("it has had its chance") {
                    try await count("manifest_candidate", deployment) == 0
                }
                #expect(try deployment.published().count == 2)
                let lifetime = try #require(
                    try await deployment.client.query("SELECT id FROM tag WHERE lifetime_end_at IS NOT NULL")
                        .decodeFirst(Int64.self)
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
                try await pull("t", image, by: deployment.registry)
                #expect(upstream.count("/blobs/") == 0)
                #expect(try await collector.stop(SIGTERM) == 0)
            }
        }
    }

    @Test("a collector killed at any step leaves what the next one finishes")
    func killed() async throws {
        // Where the collector stands still: at the first statement that needs the table.
        let steps = ["tag", "repository_manifest", "manifest", "blob_candidate", "blob", "garbage", "collection_total"]
        try await ScriptedUpstream.with { upstream in
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for (number, step) in steps.enumerated() {
                    let image = ImageFixture.single(seed: 50 + UInt64(number), size: 30_000)
                    upstream.add(image, to: "a/b", tag: "t\(number)")
                    try await pull("t\(number)", image, by: deployment.registry)
                    try await end("t\(number)", deployment)
                    try await deployment.client.withTransaction { transaction in
                        try await transaction.query("LOCK TABLE \(unescaped: step) IN SHARE MODE")
                        try await deployment.addCollector()
                        let victim = try #require(deployment.keepers.last)
                        try await eventually("the collector waits for \(step)") {
                            let waiting = try await deployment.client.query(
                                """
                                SELECT 1 FROM pg_stat_activity
                                WHERE application_name = 'garbage-collector' AND cardinality(pg_blocking_pids(pid)) > 0
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
                    #expect(try await count("tag", deployment) == 0, "\(step)")
                }
            }
        }
    }

    @Test("clients that pull the same images while collector and pruner run flat out get every byte right")
    func flatOut() async throws {
        try await ScriptedUpstream.with { upstream in
            let shared = ImageFixture.Blob.fixture(BlobFixture(seed: 70, size: 40_000))
            let images = (0..<4).map { number in
                ImageFixture.image(
                    layers: [shared, .fixture(BlobFixture(seed: 71 + UInt64(number), size: 60_000))],
                    config: .text("{\"number\":\(number)}")
                )
            }
            for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "t\(number)") }
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                // Room for two of four, so that every other pull prunes.
                try await deployment.limit("up", to: 180_000)
                try await deployment.addPruner()
                for _ in 0..<2 {
                    // Longer than frontends remember what a repository has.
                    try await deployment.addCollector(["ENTREPOT_GC_GRACE": "12s", "ENTREPOT_GC_INTERVAL": "1ms"])
                }
                let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
                    for client in 0..<50 {
                        group.addTask {
                            var wrong = 0
                            for round in 0..<6 {
                                let number = (client + round) % 4
                                let registry = deployment.clients[client % 2]
                                let answer = try await registry.get("/v2/up/a/b/manifests/t\(number)")
                                if answer.body != images[number].bytes { wrong += 1 }
                                for blob in images[number].blobs {
                                    let (status, digest, _) = try await registry.digest(
                                        "/v2/up/a/b/blobs/\(blob.digest)"
                                    )
                                    if status != 200 || digest != blob.digest { wrong += 1 }
                                }
                            }
                            return wrong
                        }
                    }
                    return try await group.reduce(0, +)
                }
                #expect(wrong == 0)
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
