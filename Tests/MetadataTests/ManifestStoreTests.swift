// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Manifests", .timeLimit(.minutes(2)))
struct ManifestStoreTests {
    private struct Refusal: Error {}

    private func find(
        _ image: ImageFixture,
        in repository: String = "library/alpine",
        of organization: OrganizationID? = nil,
        _ stores: Stores
    ) async throws -> ManifestRecord? {
        try await stores.manifests.find(
            image.digest,
            repository: stores.repository(repository),
            organization: organization ?? stores.organization,
            on: stores.client
        )
    }

    @Test("a stored manifest comes back byte for byte, under the media type that it came with")
    func store() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let (_, id) = try await stores.store(image)
            let found = try #require(try await find(image, stores))
            #expect(found.id == id)
            #expect(found.digest == image.digest)
            #expect(found.bytes == image.bytes)
            #expect(found.mediaType == .ociManifest)
        }
    }

    @Test("storing twice changes nothing")
    func twice() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique(layers: 3)
            let first = try await stores.store(image)
            let second = try await stores.store(image)
            #expect(first.repository == second.repository)
            #expect(first.manifest == second.manifest)
            let id = first.manifest.rawValue
            #expect(
                try await stores.count("SELECT count(*) FROM manifest WHERE digest = \(image.digest.rawValue)") == 1
            )
            #expect(try await stores.count("SELECT count(*) FROM manifest_blob WHERE manifest_id = \(id)") == 4)
            #expect(try await stores.count("SELECT count(*) FROM repository_manifest WHERE manifest_id = \(id)") == 1)
        }
    }

    @Test("what a transaction that fails has stored isn't there")
    func rollback() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let document = try ManifestDocument(bytes: image.bytes, contentType: .ociManifest)
            await #expect(throws: Refusal.self) {
                try await stores.client.withTransaction { transaction in
                    _ = try await stores.manifests.store(
                        document,
                        bytes: image.bytes,
                        digest: image.digest,
                        repository: stores.repository(),
                        organization: stores.organization,
                        on: transaction
                    )
                    throw Refusal()
                }
            }
            #expect(try await find(image, stores) == nil)
            #expect(try await stores.blobs.state(of: image.blobs[0].digest, on: stores.client) == nil)
        }
    }

    @Test("content of another repository, or of another organization, doesn't exist here until it is stored here")
    func membership() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let other = try await Stores.makeOrganization(on: stores.client)
            let (home, id) = try await stores.store(image)
            #expect(try await find(image, in: "library/busybox", stores) == nil)
            #expect(try await find(image, of: other, stores) == nil)

            let (neighbour, sameID) = try await stores.store(image, in: "library/busybox")
            let (foreign, sameAgain) = try await stores.store(image, of: other)
            #expect(id == sameID && id == sameAgain, "the content is kept once")
            #expect(Set([home, neighbour, foreign]).count == 3)
            #expect(try await find(image, in: "library/busybox", stores)?.bytes == image.bytes)
            #expect(try await find(image, of: other, stores)?.bytes == image.bytes)
        }
    }

    @Test("the media type belongs to the repository, because each upstream says its own")
    func mediaTypePerRepository() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.image(layers: [.unique()], namesMediaType: false)
            try await stores.store(image, in: "as/oci", as: .ociManifest)
            try await stores.store(image, in: "as/docker", as: .dockerManifest)
            #expect(try await find(image, in: "as/oci", stores)?.mediaType == .ociManifest)
            #expect(try await find(image, in: "as/docker", stores)?.mediaType == .dockerManifest)
            try await stores.store(image, in: "as/oci", as: .dockerManifest)
            #expect(try await find(image, in: "as/oci", stores)?.mediaType == .ociManifest, "the first one stays")
        }
    }

    @Test("config and layers are kept in order, with declared sizes, and their blobs have no bytes yet")
    func blobs() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique(layers: 3)
            let (_, id) = try await stores.store(image)
            let rows = try await stores.client.query(
                """
                SELECT position, role::text, digest, size_bytes, media_type FROM manifest_blob
                WHERE manifest_id = \(id.rawValue) ORDER BY position
                """
            ).decode((Int, String, String, Int64, String).self)
            #expect(rows.map(\.0) == [0, 1, 2, 3])
            #expect(rows.map(\.1) == ["config", "layer", "layer", "layer"])
            #expect(rows.map(\.2) == image.blobs.map(\.digest.rawValue))
            #expect(rows.map(\.3) == image.blobs.map(\.size))
            #expect(rows[0].4 == MediaType.ociConfig.rawValue)
            for blob in image.blobs {
                let state = try await stores.blobs.state(of: blob.digest, on: stores.client)
                #expect(state == BlobState(placement: nil, partial: nil))
            }
        }
    }

    @Test("a layer that an image has twice is two places and one blob")
    func repeatedLayer() async throws {
        try await TestDatabase.withStores { stores in
            let layer = ImageFixture.Blob.unique()
            let image = ImageFixture.image(layers: [layer, layer], config: .unique())
            let (_, id) = try await stores.store(image)
            let digest = layer.digest.rawValue
            #expect(
                try await stores.count(
                    "SELECT count(*) FROM manifest_blob WHERE manifest_id = \(id.rawValue) AND digest = \(digest)"
                ) == 2
            )
            #expect(try await stores.count("SELECT count(*) FROM blob WHERE digest = \(digest)") == 1)
        }
    }

    @Test("a blob that is already there keeps its bytes when another image names it")
    func sharedBlob() async throws {
        try await TestDatabase.withStores { stores in
            let layer = ImageFixture.Blob.unique()
            try await stores.store(.image(layers: [layer], config: .unique()))
            let placement = BlobPlacement(digest: layer.digest, generation: Generation(), sizeBytes: layer.size)
            _ = try await stores.blobs.place(placement, on: stores.client)
            try await stores.store(.image(layers: [layer], config: .unique()), in: "library/busybox")
            #expect(try await stores.blobs.state(of: layer.digest, on: stores.client)?.placement == placement)
        }
    }

    @Test("children of an index are kept with their platforms; none of them is a blob or a manifest yet")
    func children() async throws {
        try await TestDatabase.withStores { stores in
            let children = [ImageFixture.unique(), .unique()]
            let index = ImageFixture.index(children)
            let (_, id) = try await stores.store(index)
            let rows = try await stores.client.query(
                """
                SELECT digest, size_bytes, media_type, os, architecture, variant FROM manifest_child
                WHERE parent_id = \(id.rawValue) ORDER BY position
                """
            ).decode((String, Int64, String, String?, String?, String?).self)
            #expect(rows.map(\.0) == children.map(\.digest.rawValue))
            #expect(rows.map(\.1) == children.map { Int64($0.bytes.count) })
            #expect(rows.map(\.2) == children.map(\.mediaType))
            #expect(rows.map(\.3) == ["linux", "linux"])
            #expect(rows.map(\.4) == ["amd64", "arm64"])
            #expect(rows.map(\.5) == [nil, nil])
            #expect(
                try await stores.count("SELECT count(*) FROM manifest_blob WHERE manifest_id = \(id.rawValue)") == 0
            )
            #expect(try await find(children[0], stores) == nil)
            #expect(try await find(index, stores)?.mediaType == .ociIndex)
        }
    }

    @Test("blobs that an index lists are its own: they are found, counted and awaited, and are no children")
    func listedBlobs() async throws {
        try await TestDatabase.withStores { stores in
            let cache = ImageFixture.cache(layers: [.unique(), .unique()], config: .unique())
            try await stores.tag("buildcache", cache)
            let bytes = Int64(cache.bytes.count)
            let blobBytes = cache.blobs.reduce(0) { $0 + $1.size }
            #expect(try await stores.usage() == Usage(usedBytes: bytes, reservedBytes: blobBytes))
            for (arrived, blob) in cache.blobs.enumerated() {
                let state = try await state(of: cache, stores)
                #expect(state?.state == "fetching \(arrived)/3")
                #expect(state?.children == ImageState.Children(present: 0, listed: 0))
                let found = try await stores.blobs.find(
                    blob.digest,
                    repository: stores.repository(),
                    organization: stores.organization,
                    on: stores.client
                )
                #expect(found == DeclaredBlob(digest: blob.digest, sizeBytes: blob.size, placement: nil))
                try await stores.place(blob)
            }
            #expect(try await state(of: cache, stores)?.state == "complete")
            #expect(try await stores.usage() == Usage(usedBytes: bytes + blobBytes))
            try await stores.expectProof()
        }
    }

    private func state(of image: ImageFixture, _ stores: Stores) async throws -> ImageState? {
        try await ImageStateStore().state(
            of: image.digest,
            repository: stores.repository(),
            organization: stores.organization,
            on: stores.client
        )
    }

    @Test("the kind of a manifest and its subject are kept")
    func kinds() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let artifact = ImageFixture.artifact(attachedTo: image)
            for (fixture, kind) in [(image, "image"), (artifact, "artifact"), (.index([image]), "index")] {
                let (_, id) = try await stores.store(fixture)
                let row = try await stores.client.query(
                    "SELECT kind::text, subject_digest, size_bytes FROM manifest WHERE id = \(id.rawValue)"
                ).decodeFirst((String, String?, Int).self)
                let (found, subject, size) = try #require(row)
                #expect(found == kind)
                #expect(subject == (kind == "artifact" ? image.digest.rawValue : nil))
                #expect(size == fixture.bytes.count)
            }
        }
    }

    @Test("one image stored into many repositories at once is one content and fails nowhere")
    func concurrent() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique(layers: 4)
            let ids = try await withThrowingTaskGroup(of: ManifestID.self) { group in
                for number in 0..<16 {
                    // Two each go to the same repository.
                    group.addTask { try await stores.store(image, in: "team/image\(number / 2)").manifest }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            let id = try #require(ids.first).rawValue
            #expect(try await stores.count("SELECT count(*) FROM repository_manifest WHERE manifest_id = \(id)") == 8)
            #expect(try await stores.count("SELECT count(*) FROM manifest_blob WHERE manifest_id = \(id)") == 5)
        }
    }

    @Test("blobs are stored in the order of their digests, so that two images never wait for each other in a circle")
    func noDeadlock() async throws {
        try await TestDatabase.withStores { stores in
            let layers = [ImageFixture.Blob.unique(), .unique()].sorted { $0.digest.rawValue < $1.digest.rawValue }
            let image = ImageFixture.image(layers: layers.reversed(), config: .unique())
            let storing = try await stores.client.withTransaction { transaction in
                // Another image with the same layers, between its two rows.
                let insert = "INSERT INTO blob (digest) VALUES"
                try await transaction.query("\(unescaped: insert) (\(layers[0].digest.rawValue))")
                let storing = Task { try await stores.store(image) }
                try await stores.client.untilSomebodyWaits(for: transaction)
                try await transaction.query("\(unescaped: insert) (\(layers[1].digest.rawValue))")
                return storing
            }
            _ = try await storing.value
        }
    }
}
