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

@Suite("The collector in trouble", .timeLimit(.minutes(2)))
struct TroubleTests {
    /// Pulls an image whose tag ends at once.
    private func endedPull(_ bench: Bench, of organization: OrganizationID) async throws {
        let image = ImageFixture.image(layers: [.text(UUID().uuidString)], config: .text(UUID().uuidString))
        try await bench.pull(image, as: TagName("t"), in: RepositoryName("a"), of: organization)
        for blob in image.blobs { try await bench.bring(blob) }
        let isEnded = try await LifetimeStore().delete(
            TagName("t"),
            repository: RepositoryName("a"),
            organization: organization,
            on: bench.client
        )
        #expect(isEnded)
    }

    private func path(_ bench: Bench, _ object: String) -> String { bench.folder.path + "/storage/blobs/" + object }

    /// Puts a folder in the place of a stored object: it can be looked at, and not removed.
    private func block(_ object: String, _ bench: Bench) throws {
        try removeFile(path(bench, object))
        try FileManager.default.createDirectory(atPath: path(bench, object), withIntermediateDirectories: false)
    }

    @Test("an organization that somebody is busy with holds up no other one's collection")
    func busyOrganization() async throws {
        try await Bench.with { bench in
            for organization in bench.organizations { try await endedPull(bench, of: organization) }
            #expect(try bench.objects().count == 4)
            try await bench.client.withTransaction { transaction in
                try await UsageStore().lock(bench.organizations[0], on: transaction)
                try await bench.collector(Bench.atOnce).collect()
            }
            #expect(try bench.objects().count == 2)
            #expect(try await bench.count("SELECT count(*) FROM repository") == 1)
            try await bench.collector(Bench.atOnce).collect()
            #expect(try bench.objects().isEmpty)
            #expect(try await bench.count("SELECT count(*) FROM repository") == 0)
        }
    }

    @Test("empty repositories of an organization that somebody is busy with hold up no other one's")
    func busyRepositories() async throws {
        try await Bench.with { bench in
            let name = try RepositoryName("a")
            for organization in bench.organizations {
                _ = try await RepositoryStore().ensure(name, organization: organization, on: bench.client)
            }
            var limits = Bench.atOnce
            limits.batch = 1
            try await bench.client.withTransaction { transaction in
                try await UsageStore().lock(bench.organizations[0], on: transaction)
                #expect(try await CollectionStore().dropRepositories(limits, on: bench.client) == 1)
                #expect(try await CollectionStore().dropRepositories(limits, on: bench.client) == 0)
            }
            #expect(try await CollectionStore().dropRepositories(limits, on: bench.client) == 1)
        }
    }

    @Test("an object that can't be removed holds up no other one, and is tried again by the next run")
    func undeletable() async throws {
        try await Bench.with { bench in
            for organization in bench.organizations { try await endedPull(bench, of: organization) }
            let stuck = try #require(try bench.objects().first)
            try block(stuck, bench)
            var limits = Bench.atOnce
            limits.batch = 1
            try await bench.collector(limits).collect()
            #expect(try bench.objects() == [stuck])
            #expect(try await bench.count("SELECT count(*) FROM garbage") == 1)
            try FileManager.default.removeItem(atPath: path(bench, stuck))
            try await bench.collector(limits).collect()
            #expect(try await bench.count("SELECT count(*) FROM garbage") == 0)
        }
    }

    @Test("files that can't be opened or removed end no sweep")
    func sweep() async throws {
        try await Bench.with { bench in
            let kept = ImageFixture.image(layers: [.text(UUID().uuidString)], config: .text(UUID().uuidString))
            try await bench.pull(kept, as: TagName("t"), in: RepositoryName("a"), of: bench.organizations[0])
            for blob in kept.blobs { try await bench.bring(blob) }
            let placements = try await kept.blobs.asyncMap { blob in
                try #require(try await BlobStore().state(of: blob.digest, on: bench.client)?.placement)
            }
            let (lost, unreadable) = (placements[0], placements[1])
            try bench.storage.remove(lost)
            try link(unreadable, bench)
            let orphans = try (0..<3).map { _ in try bench.publish(.text(UUID().uuidString)) }
            try block(object(orphans[0]), bench)
            try link(orphans[1], bench)
            try await OrphanSweep(client: bench.client, storage: bench.storage, grace: .zero, logger: Bench.quiet)
                .sweep()
            let left = try bench.objects().sorted()
            #expect(left == [orphans[0], orphans[1], unreadable].map(object).sorted())
            let states = try await kept.blobs.asyncMap { try await BlobStore().state(of: $0.digest, on: bench.client) }
            #expect(states[0]?.placement == nil)
            #expect(states[1]?.placement == unreadable, "nobody knows what is wrong with it")
        }
    }

    private func object(_ placement: BlobPlacement) -> String {
        let hex = placement.digest.hex
        return "\(placement.digest.algorithm.rawValue)/\(hex.prefix(2))/\(hex).\(placement.generation)"
    }

    /// Puts a link in the place of a stored object: it can't be opened.
    private func link(_ placement: BlobPlacement, _ bench: Bench) throws {
        let path = path(bench, object(placement))
        try removeFile(path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "nowhere")
    }
}

extension Array {
    fileprivate func asyncMap<Result>(_ body: (Element) async throws -> Result) async throws -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
