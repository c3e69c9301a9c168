// SPDX-License-Identifier: Apache-2.0

import Blobs
import Collection
import Foundation
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("The collector", .timeLimit(.minutes(2)))
struct CollectorTests {
    private func image() -> ImageFixture {
        .image(layers: [.text(UUID().uuidString)], config: .text(UUID().uuidString))
    }

    private func pulled(_ bench: Bench, _ tag: String = "t") async throws -> ImageFixture {
        let image = image()
        try await bench.pull(image, as: TagName(tag), in: RepositoryName("a"), of: bench.organizations[0])
        for blob in image.blobs { try await bench.bring(blob) }
        return image
    }

    private func end(_ tag: String, _ bench: Bench) async throws {
        let isEnded = try await LifetimeStore().delete(
            TagName(tag),
            repository: RepositoryName("a"),
            organization: bench.organizations[0],
            on: bench.client
        )
        #expect(isEnded)
    }

    @Test("leaves alone what is younger than the grace, and what the time machine keeps")
    func grace() async throws {
        try await Bench.with { bench in
            _ = try await pulled(bench)
            try await end("t", bench)
            var limits = Bench.atOnce
            limits.grace = .seconds(3_600)
            try await bench.collector(limits).collect()
            #expect(try await bench.count("SELECT count(*) FROM tag") == 1)
            limits = Bench.atOnce
            limits.timeMachine = .seconds(3_600)
            try await bench.collector(limits).collect()
            #expect(try await bench.count("SELECT count(*) FROM repository_manifest") == 1)
            #expect(try bench.objects().count == 2)
            // What it would do, it says.
            let pending = try await CollectionStore().pending(Bench.atOnce, on: bench.client)
            #expect(pending.first { $0.kind == .tags }?.items == 1)
            try await bench.collector(Bench.atOnce).collect()
            #expect(try bench.objects().isEmpty)
            let totals = try await CollectionStore().totals(on: bench.client)
            #expect(totals.first { $0.kind == .objects }?.items == 2)
        }
    }

    @Test("before files go, what was read of them is on the disk, though no step waits for the disk")
    func durable() async throws {
        try await Bench.with { bench in
            _ = try await pulled(bench)
            for _ in 0..<20 {
                _ = try await bench.client.withTransaction(isDurable: false) { transaction in
                    try await transaction.query(
                        "UPDATE organization SET time_machine_s = 1 + coalesce(time_machine_s, 0)"
                    )
                }
                let written = try await bench.client.query("SELECT pg_current_wal_insert_lsn()::text")
                    .decodeFirst(String.self)
                try await CollectionStore().makeDurable(on: bench.client)
                let isDurable = try await bench.client.query(
                    "SELECT pg_current_wal_flush_lsn() >= \(written ?? "")::pg_lsn"
                ).decodeFirst(Bool.self)
                #expect(isDurable == true)
            }
        }
    }

    @Test("pruned tags skip the time machine unless the organization keeps them")
    func pruned() async throws {
        try await Bench.with { bench in
            for keeps in [true, false] {
                _ = try await pulled(bench)
                var settings = OrganizationSettings()
                settings.keepsPruned = keeps
                #expect(try await OrganizationStore().change(settings, of: bench.organizations[0], on: bench.client))
                try await bench.client.query("UPDATE tag SET lifetime_end_at = now(), end_reason = 'pruned'")
                var limits = Bench.atOnce
                limits.timeMachine = .seconds(3_600)
                try await bench.collector(limits).collect()
                #expect(try bench.objects().isEmpty != keeps)
            }
        }
    }

    @Test("a condemned blob that a new manifest names is revived with its bytes")
    func revival() async throws {
        try await Bench.with { bench in
            let old = try await pulled(bench)
            try await end("t", bench)
            let (limits, store) = (Bench.atOnce, CollectionStore())
            _ = try await store.forgetTags(limits, on: bench.client)
            _ = try await bench.dropMembers(limits)
            _ = try await store.dropManifests(limits, on: bench.client)
            #expect(try await store.condemnBlobs(limits, on: bench.client) == 2)
            let new = ImageFixture.image(layers: [old.blobs[1]], config: .text(UUID().uuidString))
            try await bench.pull(new, as: TagName("new"), in: RepositoryName("a"), of: bench.organizations[0])
            try await bench.collector(limits).collect()
            let state = try #require(try await BlobStore().state(of: old.blobs[1].digest, on: bench.client))
            let placement = try #require(state.placement)
            _ = try bench.storage.open(placement)
            #expect(try bench.objects().count == 1)
        }
    }

    @Test("waits for nobody: what somebody has locked is left for the next time")
    func locked() async throws {
        try await Bench.with { bench in
            _ = try await pulled(bench)
            try await end("t", bench)
            let (limits, store) = (Bench.atOnce, CollectionStore())
            try await bench.client.withTransaction { transaction in
                try await transaction.query("SELECT 1 FROM tag FOR UPDATE")
                #expect(try await store.forgetTags(limits, on: bench.client) == 0)
            }
            _ = try await store.forgetTags(limits, on: bench.client)
            _ = try await bench.dropMembers(limits)
            try await bench.client.withTransaction { transaction in
                try await transaction.query("SELECT 1 FROM manifest FOR KEY SHARE")
                #expect(try await store.dropManifests(limits, on: bench.client) == 0)
            }
            #expect(try await store.dropManifests(limits, on: bench.client) == 1)
            try await bench.client.withTransaction { transaction in
                try await transaction.query("SELECT 1 FROM blob FOR KEY SHARE")
                #expect(try await store.condemnBlobs(limits, on: bench.client) == 0)
            }
            #expect(try await store.condemnBlobs(limits, on: bench.client) == 2)
            #expect(try await store.dropBlobs(limits, on: bench.client) == 2)
        }
    }

    @Test("several at once collect each thing once")
    func several() async throws {
        try await Bench.with { bench in
            for number in 0..<20 {
                _ = try await pulled(bench, "t\(number)")
                try await end("t\(number)", bench)
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try await bench.collector(Bench.atOnce).collect() } }
                try await group.waitForAll()
            }
            try await bench.collector(Bench.atOnce).collect()
            let totals = try await CollectionStore().totals(on: bench.client)
            for (kind, count) in [(CollectionCount.Kind.tags, 20), (.manifests, 20), (.blobs, 40), (.objects, 40)] {
                #expect(totals.first { $0.kind == kind }?.items == Int64(count), "\(kind)")
            }
            #expect(try bench.objects().isEmpty)
        }
    }

    @Test("scrubbing finds bytes that changed and bytes that are gone, puts the first aside, and both are absent then")
    func scrub() async throws {
        try await Bench.with { bench in
            let image = try await pulled(bench)
            let scrubber = Scrubber(
                client: bench.client,
                storage: bench.storage,
                bytesPerSecond: 100_000_000,
                interval: .zero,
                logger: Bench.quiet
            )
            let placement = try #require(
                try await BlobStore().state(of: image.blobs[0].digest, on: bench.client)?.placement
            )
            #expect(try await scrubber.read(placement) == .right)
            let object = try #require(try bench.objects().first { $0.contains(placement.digest.hex) })
            let path = bench.folder.path + "/storage/blobs/" + object
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
            try Data(repeating: 0, count: Int(placement.sizeBytes)).write(to: URL(filePath: path))
            #expect(try await scrubber.read(placement) == .damaged)
            let other = try #require(
                try await BlobStore().state(of: image.blobs[1].digest, on: bench.client)?.placement
            )
            try bench.storage.remove(other)
            #expect(try await scrubber.read(other) == .missing)
            // Each is read once per interval, so a whole round ends.
            try await Scrubber(
                client: bench.client,
                storage: bench.storage,
                bytesPerSecond: 100_000_000,
                interval: .milliseconds(1),
                logger: Bench.quiet
            ).scrub()
            for blob in image.blobs {
                #expect(try await BlobStore().state(of: blob.digest, on: bench.client)?.placement == nil)
            }
            let aside = try FileManager.default.contentsOfDirectory(atPath: bench.folder.path + "/storage/quarantine")
            #expect(aside.count == 1)
            #expect(try await UsageStore().recompute(bench.organizations[0], on: bench.client) == nil)
            for blob in image.blobs { try await bench.bring(blob) }
            #expect(try bench.objects().count == 2)
        }
    }

    @Test("the sweep removes objects that no row speaks of, and tells rows whose object is gone")
    func sweep() async throws {
        try await Bench.with { bench in
            let image = try await pulled(bench)
            _ = try bench.publish(.text("nobody's"))
            let lost = try #require(try await BlobStore().state(of: image.blobs[0].digest, on: bench.client)?.placement)
            try bench.storage.remove(lost)
            let young = OrphanSweep(
                client: bench.client,
                storage: bench.storage,
                grace: .seconds(3_600),
                logger: Bench.quiet
            )
            try await young.sweep()
            #expect(try bench.objects().count == 2)
            try await OrphanSweep(client: bench.client, storage: bench.storage, grace: .zero, logger: Bench.quiet)
                .sweep()
            #expect(try bench.objects().count == 1)
            #expect(try await BlobStore().state(of: image.blobs[0].digest, on: bench.client)?.placement == nil)
        }
    }
}
