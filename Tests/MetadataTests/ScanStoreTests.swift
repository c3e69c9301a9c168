// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// Which images are to be scanned. Each test has a database of its own: a scanner's state is one for all.
@Suite("The store of scans", .timeLimit(.minutes(2)))
struct ScanStoreTests {
    @Test("an image is queued by its last blob, whichever that is, and not before")
    func lastBlob() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique(layers: 2)
            let id = try await scene.store(image)
            for blob in image.blobs {
                #expect(try await scene.state(id) == nil)
                try await scene.place(blob)
            }
            #expect(try await scene.state(id) == .queued)
            #expect(try await scene.due() == [id])
            #expect(try await scene.due() == [])
        }
    }

    @Test("a manifest whose blobs are all here is queued as it is stored")
    func completeFromTheStart() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique()
            _ = try await scene.complete(image)
            let twin = ImageFixture.image(
                layers: Array(image.blobs.dropFirst()),
                config: image.blobs[0],
                extra: ",\"annotations\":{\"a\":\"b\"}"
            )
            let id = try await scene.store(twin)
            #expect(try await scene.state(id) == .queued)
        }
    }

    @Test("a blob that is placed while the manifest is stored queues it, whoever commits first")
    func race() async throws {
        try await ScanStores.with { scene in
            let other = ImageFixture.unique()
            _ = try await scene.store(other)
            for blob in other.blobs { try await scene.place(blob) }
            for isPlacedFirst in [true, false] {
                let shared = ImageFixture.Blob.unique()
                let known = ImageFixture.image(layers: [shared], config: other.blobs[0])
                let new = ImageFixture.image(
                    layers: [shared],
                    config: other.blobs[0],
                    extra: ",\"annotations\":{\"a\":\"\(isPlacedFirst)\"}"
                )
                try await scene.store(known)
                // Who begins first isn't who commits first: both orders happen.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    if isPlacedFirst { group.addTask { try await scene.place(shared) } }
                    group.addTask { try await scene.store(new) }
                    if !isPlacedFirst { group.addTask { try await scene.place(shared) } }
                    try await group.waitForAll()
                }
                let ids = try await scene.client.query(
                    "SELECT id FROM manifest WHERE digest = \(new.digest.rawValue)"
                ).decode(Int64.self)
                let id = ManifestID(rawValue: try #require(ids.first))
                #expect(try await scene.state(id) == .queued, "\(isPlacedFirst)")
            }
        }
    }

    @Test("storing waits for a blob that is being placed, and sees it then")
    func storingWaits() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.image(layers: [.unique()], config: .unique())
            let twin = ImageFixture.image(
                layers: Array(image.blobs.dropFirst()),
                config: image.blobs[0],
                extra: ",\"annotations\":{\"a\":\"b\"}"
            )
            try await scene.store(image)
            try await scene.place(image.blobs[0])
            let storing = try await scene.client.withTransaction { transaction in
                let layer = image.blobs[1]
                let placement = BlobPlacement(digest: layer.digest, generation: Generation(), sizeBytes: layer.size)
                _ = try await scene.stores.blobs.place(placement, on: transaction)
                let completed = try await ImageStateStore().completed(by: layer.digest, on: transaction)
                // The twin isn't among them: nobody sees it yet.
                _ = try await scene.scans.queue(completed, on: transaction)
                let storing = Task { try await scene.store(twin) }
                try await scene.stores.client.untilSomebodyWaits(for: transaction)
                return storing
            }
            #expect(try await scene.state(try await storing.value) == .queued)
        }
    }

    @Test("how far a blob has come is noted without waiting for whoever stores a manifest that names it")
    func progressIsApart() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique()
            try await scene.store(image)
            let blob = image.blobs[0].digest
            let generation = Generation()
            let partial = PartialRecord(generation: generation, validator: nil)
            try await scene.client.query(scene.stores.blobs.recording(partial, of: blob))
            let note = PartialNote(digest: blob, generation: generation, storedBytes: 7, bytesPerSecond: 1)
            func stored() async throws -> Int64? {
                try await scene.stores.blobs.arrivals(of: [blob], on: scene.client)[blob]?.storedBytes
            }
            try await scene.client.withTransaction { transaction in
                try await transaction.query("SELECT 1 FROM blob WHERE digest = \(blob.rawValue) FOR SHARE")
                try await scene.stores.blobs.note([note], on: scene.client)
                #expect(try await stored() == 0)
            }
            try await scene.stores.blobs.note([note], on: scene.client)
            #expect(try await stored() == 7)
        }
    }

    @Test("indexes have no scan of their own, artifacts and images without layers nothing to scan")
    func kinds() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique()
            let index = try await scene.store(.index([image]))
            #expect(try await scene.state(index) == nil)
            let artifact = try await scene.complete(.artifact(attachedTo: image))
            #expect(try await scene.state(artifact) == .unsupported)
            let empty = try await scene.complete(.image(layers: [], config: .unique()))
            #expect(try await scene.state(empty) == .unsupported)
            #expect(try await scene.due() == [])
        }
    }

    @Test("images that were complete before there was scanning are queued by the migration")
    func migration() async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        try await TestDatabase.withClient(of: database) { client in
            let older = Migration.all.filter { $0.version < 10 }
            let newer = Array(Migration.all.dropFirst(older.count))
            try await Migrator(migrations: older).migrate(client)
            try await client.query(
                """
                INSERT INTO blob (digest, generation, size_bytes, placed_at)
                VALUES ('here', gen_random_uuid(), 1, now()), ('absent', NULL, NULL, NULL)
                """
            )
            for (digest, kind, blob) in [("a", "image", "here"), ("b", "image", "absent"), ("c", "artifact", "here")] {
                try await client.query(
                    """
                    WITH m AS (
                        INSERT INTO manifest (digest, kind, size_bytes, bytes)
                        VALUES (\(digest), \(kind)::manifest_kind, 1, '') RETURNING id
                    )
                    INSERT INTO manifest_blob (manifest_id, position, role, digest, size_bytes, media_type)
                    SELECT id, 0, 'layer', \(blob), 1, 'application/vnd.oci.image.layer.v1.tar' FROM m
                    """
                )
            }
            #expect(try await Migrator().migrate(client) == newer)
            let states = try await client.query(
                "SELECT digest, state FROM manifest_scan JOIN manifest m ON m.id = manifest_id ORDER BY digest"
            ).decode((String, String).self)
            #expect(states.map(\.0) == ["a", "c"] && states.map(\.1) == ["queued", "unsupported"])
        }
    }

    @Test("complete images that nobody queued are found")
    func forgotten() async throws {
        try await ScanStores.with { scene in
            let id = try await scene.complete(.unique())
            let incomplete = ImageFixture.unique()
            try await scene.store(incomplete)
            let other = try await scene.complete(.unique())
            try await scene.client.query("DELETE FROM manifest_scan")
            var (queued, last, looks): ([Int], ManifestID?, Int) = ([], nil, 0)
            repeat {
                let found = try await scene.scans.queueForgotten(after: last, lookingAt: 1, on: scene.client)
                queued.append(found.queued)
                (last, looks) = (found.last, looks + 1)
            } while last != nil && looks < 10
            #expect(queued == [1, 0, 1, 0], "one after the other, and then from the beginning")
            #expect(Set(try await scene.due()) == [id, other])
            #expect(try await scene.scans.queueForgotten(after: nil, lookingAt: 10, on: scene.client).queued == 0)
        }
    }

    @Test("a scanner that changed gets again what it had, and what it failed on, once")
    func indexStates() async throws {
        try await ScanStores.with { scene in
            #expect(try await scene.scans.note(indexState: "s1", on: scene.client) == 0)
            var ids: [ScanState: ManifestID] = [:]
            for state in ScanState.allCases where state != .queued {
                let id = try await scene.complete(.unique())
                ids[state] = id
                _ = try await scene.due()
                let verdict = ScanVerdict(state: state, failures: 5, after: state.isResting ? nil : .seconds(86_400))
                try await scene.record(verdict, id)
            }
            #expect(try await scene.scans.note(indexState: "s1", on: scene.client) == 0)
            #expect(try await scene.due() == [])
            #expect(try await scene.scans.note(indexState: "s2", on: scene.client) == 3)
            let expected: [ScanState: ScanState] = [
                .scanned: .scanned, .failed: .queued, .exhausted: .queued, .unsupported: .unsupported,
                .refused: .refused, .tooLarge: .tooLarge,
            ]
            for (before, after) in expected {
                let id = try #require(ids[before])
                let image = try #require(try await scene.scans.image(id, on: scene.client))
                #expect(image.state == after)
                if before == .exhausted { #expect(image.failures == 0) }
            }
            #expect(try await scene.scans.note(indexState: "s2", on: scene.client) == 0)
            #expect(Set(try await scene.due()) == Set([.scanned, .failed, .exhausted].compactMap { ids[$0] }))
        }
    }

    @Test("who asks for a fresh report while one is fetched gets another one")
    func refreshing() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique()
            let id = try await scene.complete(image)
            #expect(try await scene.due() == [id])
            try await scene.scans.refresh([image.digest.rawValue], on: scene.client)
            try await scene.record(ScanVerdict(state: .scanned, after: .seconds(86_400)), id)
            #expect(try await scene.due() == [id])
            try await scene.record(ScanVerdict(state: .scanned, after: .seconds(86_400)), id)
            #expect(try await scene.due() == [])
        }
    }

    @Test("only what the scanner was sent is to be forgotten, and that outlives the manifest")
    func deletions() async throws {
        try await ScanStores.with { scene in
            let (sent, unsent) = (ImageFixture.unique(), ImageFixture.unique())
            let ids = [try await scene.complete(sent), try await scene.complete(unsent)]
            try await scene.scans.noteSent(ids[0], on: scene.client)
            try await scene.client.withTransaction { transaction in
                try await scene.scans.queueDeletion(of: ids, on: transaction)
                for id in ids {
                    try await transaction.query("DELETE FROM repository_manifest WHERE manifest_id = \(id.rawValue)")
                    try await transaction.query("DELETE FROM manifest WHERE id = \(id.rawValue)")
                }
            }
            #expect(try await scene.scans.image(ids[0], on: scene.client) == nil)
            let due = try await scene.scans.takeDueDeletions(limit: 10, pause: .seconds(60), on: scene.client)
            #expect(due == [sent.digest.rawValue])
            #expect(try await !scene.scans.isCached(sent.digest.rawValue, on: scene.client))
            try await scene.scans.finishDeletion(of: sent.digest.rawValue, on: scene.client)
            #expect(try await scene.reports.overview(on: scene.client).openDeletions == 0)
        }
    }
}
