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

/// Pulls, prunes, moves, expiries, revivals and collections in random order, ended anywhere.
///
/// `ENTREPOT_SEQUENCES` says how many; `ENTREPOT_SEQUENCES_FROM` is the seed of the first.
@Suite("Random sequences")
struct SequenceTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let count = environment["ENTREPOT_SEQUENCES"].flatMap(Int.init) ?? 300
    private static let first = environment["ENTREPOT_SEQUENCES_FROM"].flatMap(Int.init) ?? 0
    /// Databases that they run in, side by side.
    private static let lanes = 3
    private static let steps = 40

    /// - Returns: how many lifetimes and holds ended
    private func expire(limit: Int, _ bench: Bench) async throws -> Int {
        let lifetimes = LifetimeStore()
        var ended = 0
        for overdue in try await lifetimes.overdue(limit: limit, on: bench.client) {
            ended += try await lifetimes.end(overdue, together: 2, on: bench.client)
        }
        return ended
    }

    private struct Cast {
        let images: [ImageFixture]
        let indexes: [ImageFixture]
        let blobs: [ImageFixture.Blob]

        init(_ seed: Int, using random: inout some RandomNumberGenerator) {
            let blobs = (0..<6).map { number in
                ImageFixture.Blob.text(
                    String(repeating: "x", count: .random(in: 0...400, using: &random)) + "\(seed) \(number)"
                )
            }
            let images = (0..<5).map { number in
                ImageFixture.image(
                    layers: blobs.indices.filter { $0 % 5 != number && Bool.random(using: &random) }.map { blobs[$0] },
                    config: blobs[number],
                    extra: ",\"annotations\":{\"id\":\"\(seed) \(number)\"}"
                )
            }
            self.blobs = blobs
            self.images = images
            indexes = [.index([images[0], images[1]]), .index([images[1], images[2]])]
        }

        var all: [ImageFixture] { images + indexes }
        /// Of the storage, those that have any of its blobs.
        var parts: [String] { Set(blobs.map { String($0.digest.rawValue.prefix(9)) }).sorted() }
    }

    @Test("leave what is counted equal to what is there, no row without its file, and nothing behind")
    func sequences() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<Self.lanes {
                group.addTask {
                    try await Bench.with { bench in
                        for number in stride(from: lane, to: Self.count, by: Self.lanes) {
                            try await sequence(Self.first + number, bench)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func sequence(_ seed: Int, _ bench: Bench) async throws {
        var random = SplitMix(state: UInt64(seed) &* 7_919 &+ 17)
        let cast = Cast(seed, using: &random)
        for organization in bench.organizations {
            try await bench.client.query("DELETE FROM quota WHERE organization_id = \(organization.rawValue)")
            guard Bool.random(using: &random) else { continue }
            _ = try await QuotaStore().create(
                limitBytes: .random(in: 1_000...6_000, using: &random),
                of: organization,
                on: bench.client
            )
        }
        for step in 0..<Self.steps {
            try await act(.random(in: 0..<14, using: &random), cast, bench, using: &random)
            if step % 10 == 9 { try await check(bench, cast, "seed \(seed), step \(step)") }
        }
        try await empty(bench, cast, "seed \(seed)")
    }

    private func act(
        _ number: Int,
        _ cast: Cast,
        _ bench: Bench,
        using random: inout SplitMix
    ) async throws {
        let organization = bench.organizations.randomElement(using: &random) ?? bench.organizations[0]
        let repository = try RepositoryName(["a", "b/c"].randomElement(using: &random) ?? "a")
        let image = cast.all.randomElement(using: &random) ?? cast.images[0]
        let limits = Bench.atOnce
        let store = CollectionStore()
        switch number {
        case 0...3:
            let tag = try TagName("t\(Int.random(in: 0..<3, using: &random))")
            try await bench.pull(image, as: Bool.random(using: &random) ? tag : nil, in: repository, of: organization)
        case 4, 5:
            for blob in cast.blobs where Bool.random(using: &random) { try await bench.bring(blob) }
        case 6:
            let tag = try TagName("t\(Int.random(in: 0..<3, using: &random))")
            _ = try await LifetimeStore().delete(
                tag,
                repository: repository,
                organization: organization,
                on: bench.client
            )
        case 7:
            let ended = try await bench.client.query("SELECT id FROM tag WHERE lifetime_end_at IS NOT NULL ORDER BY id")
                .decode(Int64.self)
            guard let lifetime = ended.randomElement(using: &random) else { return }
            for organization in bench.organizations {
                _ = try await LifetimeStore().revive(
                    TagID(rawValue: lifetime),
                    organization: organization,
                    on: bench.client
                )
            }
        case 8:
            let live = try await bench.client.query("SELECT id FROM tag WHERE lifetime_end_at IS NULL ORDER BY id")
                .decode(Int64.self)
            let tags = live.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
            try await bench.client.query("UPDATE tag SET expires_at = now() WHERE id = ANY(\(tags)::bigint[])")
            let held = try await bench.client.query(
                "SELECT manifest_id FROM repository_manifest WHERE held_until IS NOT NULL ORDER BY repository_id, manifest_id"
            ).decode(Int64.self)
            let manifests = held.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
            try await bench.client.query(
                """
                UPDATE repository_manifest SET held_until = now()
                WHERE held_until IS NOT NULL AND manifest_id = ANY(\(manifests)::bigint[])
                """
            )
            _ = try await expire(limit: 2, bench)
        case 9:
            let members = try await bench.client.query(
                "SELECT repository_id, manifest_id FROM repository_manifest ORDER BY repository_id, manifest_id"
            ).decode((Int64, Int64).self)
            guard let (repository, manifest) = members.randomElement(using: &random) else { return }
            let touch = PullTouch(
                repository: RepositoryID(rawValue: repository),
                manifest: ManifestID(rawValue: manifest),
                tag: nil,
                isRenewing: true
            )
            try await PullStore().touch([touch: .now], on: bench.client)
            // Grace is zero here: what was just pulled may be taken all the same.
            try await bench.client.query("UPDATE repository_manifest SET last_pulled_at = NULL")
        case 10:
            // A fetcher that died before it recorded what it had published.
            _ = try bench.publish(cast.blobs.randomElement(using: &random) ?? cast.blobs[0])
        case 11:
            // A collector that died between the bytes and the row.
            for object in try await store.garbage(limits, on: bench.client) { try bench.storage.remove(object) }
        case 12:
            let sweep = OrphanSweep(client: bench.client, storage: bench.storage, grace: .zero, logger: Bench.quiet)
            try await sweep.sweep(cast.parts)
        default:
            switch Int.random(in: 0..<7, using: &random) {
            case 0: _ = try await store.forgetTags(limits, on: bench.client)
            case 1: _ = try await bench.dropMembers(limits)
            case 2: _ = try await store.dropManifests(limits, on: bench.client)
            case 3: _ = try await store.condemnBlobs(limits, on: bench.client)
            case 4: _ = try await store.dropBlobs(limits, on: bench.client)
            case 5: _ = try await store.dropRepositories(limits, on: bench.client)
            default: try await bench.collector(limits).collect()
            }
        }
    }

    private func check(_ bench: Bench, _ cast: Cast, _ comment: Comment) async throws {
        for organization in bench.organizations {
            let drift = try await UsageStore().recompute(organization, on: bench.client)
            #expect(drift == nil, comment)
        }
        for part in cast.parts {
            let placements = try await ScrubStore().placements(prefix: part, placedBefore: .zero, on: bench.client)
            for placement in placements {
                #expect(throws: Never.self, comment) { _ = try bench.storage.open(placement) }
            }
        }
        // Whatever is alive can be pulled completely: each of its blobs has a row, so it is here or will be.
        #expect(
            try await bench.count(
                """
                SELECT count(*) FROM repository_manifest rm JOIN manifest_blob mb USING (manifest_id)
                LEFT JOIN blob b ON b.digest = mb.digest
                WHERE rm.released_at IS NULL AND (b.digest IS NULL OR b.condemned_at IS NOT NULL)
                """
            ) == 0,
            comment
        )
    }

    /// With all lifetimes ended, collection leaves nothing.
    private func empty(_ bench: Bench, _ cast: Cast, _ comment: Comment) async throws {
        try await bench.client.query("UPDATE tag SET expires_at = now() WHERE lifetime_end_at IS NULL")
        try await bench.client.query("UPDATE repository_manifest SET held_until = now() WHERE held_until IS NOT NULL")
        while try await expire(limit: 100, bench) > 0 {}
        var limits = Bench.atOnce
        limits.batch = 100
        try await bench.collector(limits).collect()
        try await OrphanSweep(client: bench.client, storage: bench.storage, grace: .zero, logger: Bench.quiet).sweep(
            cast.parts
        )
        for table in [
            "tag", "repository_manifest", "manifest", "blob", "garbage", "repository", "repository_content",
            "organization_content", "member_candidate", "manifest_candidate", "blob_candidate",
        ] {
            #expect(try await bench.count("SELECT count(*) FROM \(unescaped: table)") == 0, "\(comment) \(table)")
        }
        for organization in bench.organizations {
            #expect(try await UsageStore().usage(of: organization, on: bench.client) == Usage(), comment)
        }
        #expect(try bench.objects().isEmpty, comment)
    }
}

/// Steele's, Lea's and Flood's generator: the same sequence for a seed on every machine.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
