// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Blob records", .timeLimit(.minutes(2)))
struct BlobStoreTests {
    private func find(
        _ blob: ImageFixture.Blob,
        in repository: String = "library/alpine",
        of organization: OrganizationID? = nil,
        _ stores: Stores
    ) async throws -> DeclaredBlob? {
        try await stores.blobs.find(
            blob.digest,
            repository: stores.repository(repository),
            organization: organization ?? stores.organization,
            on: stores.client
        )
    }

    /// The layer of an image that was just stored.
    private func storedLayer(_ stores: Stores) async throws -> ImageFixture.Blob {
        let layer = ImageFixture.Blob.unique()
        try await stores.store(.image(layers: [layer], config: .unique()))
        return layer
    }

    private func placement(_ blob: ImageFixture.Blob) -> BlobPlacement {
        BlobPlacement(digest: blob.digest, generation: Generation(), sizeBytes: blob.size)
    }

    @Test("a blob is found through a manifest of the repository, and through nothing else")
    func visibility() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let other = try await Stores.makeOrganization(on: stores.client)
            try await stores.store(image)
            try await stores.store(.unique(), in: "library/busybox")
            try await stores.store(.unique(), of: other)
            for blob in image.blobs {
                _ = try await stores.blobs.place(placement(blob), on: stores.client)
                #expect(try await find(blob, stores)?.sizeBytes == blob.size, "config and layer alike")
                // Present or not, others learn nothing of it.
                #expect(try await find(blob, in: "library/busybox", stores) == nil)
                #expect(try await find(blob, in: "no/such", stores) == nil)
                #expect(try await find(blob, of: other, stores) == nil)
            }
            #expect(try await find(.unique(), stores) == nil)
        }
    }

    @Test("a manifest's own digest is no blob")
    func manifestIsNoBlob() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            try await stores.store(image)
            #expect(try await find(.literal(image.bytes, image.digest), stores) == nil)
            #expect(try await stores.blobs.state(of: image.digest, on: stores.client) == nil)
        }
    }

    @Test("a blob has no placement until its bytes are there, and then exactly that one")
    func place() async throws {
        try await TestDatabase.withStores { stores in
            let layer = try await storedLayer(stores)
            #expect(
                try await find(layer, stores)
                    == DeclaredBlob(digest: layer.digest, sizeBytes: layer.size, placement: nil)
            )
            let placement = placement(layer)
            #expect(try await stores.blobs.place(placement, on: stores.client) == nil, "it replaces nothing")
            #expect(try await find(layer, stores)?.placement == placement)
            #expect(
                try await stores.blobs.state(of: layer.digest, on: stores.client)
                    == BlobState(placement: placement, partial: nil)
            )
        }
    }

    @Test("of sizes that manifests declare for a blob, the newest counts, and from its arrival on the right one")
    func declaredSizes() async throws {
        try await TestDatabase.withStores { stores in
            for order in [[0, 1], [1, 0]] as [[Int64]] {
                let layer = ImageFixture.Blob.unique()
                for excess in order { try await stores.store(Self.image(layer, declaring: layer.size + excess)) }
                #expect(try await find(layer, stores)?.sizeBytes == layer.size + order[1])
                _ = try await stores.blobs.place(placement(layer), on: stores.client)
                #expect(try await find(layer, stores)?.sizeBytes == layer.size)
            }
        }
    }

    /// An image whose manifest may be wrong about its layer.
    private static func image(_ layer: ImageFixture.Blob, declaring size: Int64) -> ImageFixture {
        let config = ImageFixture.Blob.unique()
        let configText = ImageFixture.descriptor(MediaType.ociConfig.rawValue, config.digest, config.size)
        let layerText = ImageFixture.descriptor("application/vnd.oci.image.layer.v1.tar", layer.digest, size)
        let text = "{\"schemaVersion\":2,\"config\":\(configText),\"layers\":[\(layerText)]}"
        return ImageFixture(bytes: Array(text.utf8), mediaType: ImageFixture.ociManifest)
    }

    @Test("a second copy takes the place of the first and returns it, so that its object can go")
    func replace() async throws {
        try await TestDatabase.withStores { stores in
            let layer = try await storedLayer(stores)
            let (first, second) = (placement(layer), placement(layer))
            _ = try await stores.blobs.place(first, on: stores.client)
            #expect(try await stores.blobs.place(second, on: stores.client) == first)
            #expect(try await find(layer, stores)?.placement == second)
        }
    }

    @Test("of copies that are placed at once all but the last are returned, each once")
    func concurrentPlaces() async throws {
        try await TestDatabase.withStores { stores in
            let layer = try await storedLayer(stores)
            let copies = (0..<8).map { _ in placement(layer) }
            let replaced = try await withThrowingTaskGroup(of: BlobPlacement?.self) { group in
                for copy in copies { group.addTask { try await stores.blobs.place(copy, on: stores.client) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let kept = try #require(try await find(layer, stores)?.placement)
            #expect(replaced.filter { $0 == nil }.count == 1)
            #expect(Set(replaced.compactMap { $0 } + [kept]) == Set(copies))
        }
    }

    @Test("bytes that no row speaks of can't be placed")
    func placeUnknown() async throws {
        try await TestDatabase.withStores { stores in
            let error = await #expect(throws: MetadataError.self) {
                try await stores.blobs.place(placement(.unique()), on: stores.client)
            }
            #expect(error?.code == .corruptRow)
        }
    }

    @Test("a copy is given up only if it is still the one that counts")
    func unplace() async throws {
        try await TestDatabase.withStores { stores in
            let layer = try await storedLayer(stores)
            let (first, second) = (placement(layer), placement(layer))
            _ = try await stores.blobs.place(first, on: stores.client)
            _ = try await stores.blobs.place(second, on: stores.client)
            #expect(try await !stores.blobs.unplace(first, on: stores.client))
            #expect(try await find(layer, stores)?.placement == second)
            #expect(try await stores.blobs.unplace(second, on: stores.client))
            #expect(try await find(layer, stores)?.placement == nil)
            #expect(try await !stores.blobs.unplace(second, on: stores.client), "it is gone already")
            _ = try await stores.blobs.place(first, on: stores.client)
            #expect(try await find(layer, stores)?.placement == first, "and can be fetched again")
        }
    }

    @Test("a copy is given up without holding the blob while the lock of an organization is waited for")
    func unplaceForAll() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let other = try await Stores.makeOrganization(on: stores.client)
            try await stores.store(image)
            let placement = placement(image.blobs[1])
            _ = try await stores.blobs.place(placement, on: stores.client)
            try await withThrowingTaskGroup(of: Bool.self) { group in
                try await stores.client.withTransaction { second in
                    try await stores.client.withTransaction { first in
                        try await stores.usages.lock(stores.organization, on: first)
                        group.addTask { try await stores.blobs.unplace(placement, on: stores.client) }
                        try await stores.client.untilSomebodyWaits(for: first)
                        try await stores.store(image, of: other)
                        try await stores.usages.lock(other, on: second)
                    }
                    try await stores.client.untilSomebodyWaits(for: second)
                    try await second.query(
                        "SELECT 1 FROM blob WHERE digest = \(placement.digest.description) FOR NO KEY UPDATE"
                    )
                }
                for try await isGivenUp in group { #expect(isGivenUp) }
            }
            #expect(try await stores.usages.recompute(other, on: stores.client) == nil)
            try await stores.expectProof()
        }
    }

    @Test("a partial is known until it is cleared or the blob is placed")
    func partial() async throws {
        try await TestDatabase.withStores { stores in
            let layer = try await storedLayer(stores)
            let partials = [
                PartialRecord(generation: Generation(), validator: nil),
                PartialRecord(generation: Generation(), validator: "\"v1\""),
            ]
            for partial in partials {
                try await stores.client.query(stores.blobs.recording(partial, of: layer.digest))
                #expect(try await stores.blobs.state(of: layer.digest, on: stores.client)?.partial == partial)
            }
            try await stores.client.query(stores.blobs.forgetting(partials[0].generation, of: layer.digest))
            #expect(try await stores.blobs.state(of: layer.digest, on: stores.client)?.partial == partials[1])
            try await stores.client.query(stores.blobs.forgetting(partials[1].generation, of: layer.digest))
            #expect(try await stores.blobs.state(of: layer.digest, on: stores.client)?.partial == nil)
            try await stores.client.query(stores.blobs.recording(partials[1], of: layer.digest))
            let placement = placement(layer)
            _ = try await stores.blobs.place(placement, on: stores.client)
            #expect(
                try await stores.blobs.state(of: layer.digest, on: stores.client)
                    == BlobState(placement: placement, partial: nil)
            )
        }
    }

    @Test("a refetch has a placement and a partial at once")
    func refetch() async throws {
        try await TestDatabase.withStores { stores in
            let layer = try await storedLayer(stores)
            let placement = placement(layer)
            let partial = PartialRecord(generation: Generation(), validator: nil)
            _ = try await stores.blobs.place(placement, on: stores.client)
            try await stores.client.query(stores.blobs.recording(partial, of: layer.digest))
            #expect(
                try await stores.blobs.state(of: layer.digest, on: stores.client)
                    == BlobState(placement: placement, partial: partial)
            )
        }
    }

    @Test("of some partials those are known that a row speaks of")
    func knownPartials() async throws {
        try await TestDatabase.withStores { stores in
            let layers = [try await storedLayer(stores), try await storedLayer(stores)]
            let generations = layers.map { _ in Generation() }
            for (layer, generation) in zip(layers, generations) {
                let partial = PartialRecord(generation: generation, validator: nil)
                try await stores.client.query(stores.blobs.recording(partial, of: layer.digest))
            }
            let stray = Generation()
            let known = try await stores.blobs.known(partials: [stray, generations[0]], on: stores.client)
            #expect(known == [generations[0]])
            #expect(try await stores.blobs.known(partials: [], on: stores.client).isEmpty)
            _ = try await stores.blobs.place(placement(layers[0]), on: stores.client)
            #expect(try await stores.blobs.known(partials: generations, on: stores.client) == [generations[1]])
        }
    }
}
