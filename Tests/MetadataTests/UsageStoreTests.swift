// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

extension Stores {
    var usages: UsageStore { UsageStore() }

    func usage() async throws -> Usage { try await usages.usage(of: organization, on: client) }

    func usage(in repository: String) async throws -> Usage? {
        try await usages.usage(of: self.repository(repository), organization: organization, on: client)
    }

    /// Says that the blob's bytes are there.
    func place(_ blob: ImageFixture.Blob) async throws {
        let placement = BlobPlacement(digest: blob.digest, generation: Generation(), sizeBytes: blob.size)
        try await client.withTransaction { transaction in
            try await usages.lockHolders(of: blob.digest, on: transaction)
            _ = try await blobs.place(placement, on: transaction)
        }
    }

    func expectProof(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let drift = try await usages.recompute(organization, on: client)
        #expect(drift == nil, comment, sourceLocation: sourceLocation)
    }

    func end(_ tag: String, in repository: String = "library/alpine") async throws -> Bool {
        try await LifetimeStore().delete(
            TagName(tag),
            repository: self.repository(repository),
            organization: organization,
            on: client
        )
    }
}

extension ImageFixture {
    /// Bytes of the manifest and what it names, each blob once.
    var wholeBytes: Int64 {
        let sizes = Dictionary(blobs.map { ($0.digest, $0.size) }) { $1 }
        return Int64(bytes.count) + sizes.values.reduce(0, +)
    }
}

@Suite("Usage", .timeLimit(.minutes(2)))
struct UsageStoreTests {
    @Test("an image is reserved when its manifest is stored, and used as its blobs arrive")
    func arrival() async throws {
        try await TestDatabase.withStores { stores in
            #expect(try await stores.usage() == Usage())
            let image = ImageFixture.unique(layers: 2)
            try await stores.tag("latest", image)
            let blobBytes = image.blobs.reduce(0) { $0 + $1.size }
            #expect(
                try await stores.usage() == Usage(usedBytes: Int64(image.bytes.count), reservedBytes: blobBytes)
            )
            for blob in image.blobs { try await stores.place(blob) }
            #expect(try await stores.usage() == Usage(usedBytes: image.wholeBytes))
            #expect(try await stores.usage(in: "library/alpine") == Usage(usedBytes: image.wholeBytes))
            #expect(try await stores.usage(in: "library/busybox") == nil)
            try await stores.expectProof()
        }
    }

    @Test("foreign layers, whose bytes may never come, count once they are here")
    func foreignLayers() async throws {
        try await TestDatabase.withStores { stores in
            let plain = ImageFixture.unique(layers: 1)
            let text = String(decoding: plain.bytes, as: UTF8.self).replacing(
                "application/vnd.oci.image.layer.v1.tar",
                with: "application/vnd.oci.image.layer.nondistributable.v1.tar"
            )
            let image = ImageFixture(bytes: Array(text.utf8), mediaType: plain.mediaType)
            let (config, layer) = (plain.blobs[0], plain.blobs[1])
            let need = try await PruneStore().need(
                of: ManifestDocument(bytes: image.bytes, contentType: MediaType(image.mediaType)),
                digest: image.digest,
                manifestBytes: image.bytes.count,
                organization: stores.organization,
                on: stores.client
            )
            #expect(need.size == Int64(image.bytes.count) + config.size && need.missing == need.size)
            try await stores.tag("latest", image)
            #expect(
                try await stores.usage() == Usage(usedBytes: Int64(image.bytes.count), reservedBytes: config.size)
            )
            try await stores.place(config)
            try await stores.place(layer)
            #expect(
                try await stores.usage() == Usage(usedBytes: Int64(image.bytes.count) + config.size + layer.size)
            )
            try await stores.expectProof()
        }
    }

    @Test("what images share is counted once per repository, and once per organization")
    func shared() async throws {
        try await TestDatabase.withStores { stores in
            let base = ImageFixture.Blob.unique()
            let images = (0..<3).map { _ in ImageFixture.image(layers: [base, .unique(), base], config: .unique()) }
            try await stores.tag("a", images[0])
            try await stores.tag("b", images[1])
            try await stores.tag("c", images[1])
            try await stores.tag("a", images[2], in: "library/busybox")
            let sum = images.reduce(0) { $0 + $1.wholeBytes }
            #expect(try await stores.usage().liveBytes == sum - 2 * base.size)
            #expect(
                try await stores.usage(in: "library/alpine")?.liveBytes
                    == images[0].wholeBytes + images[1].wholeBytes - base.size
            )
            #expect(try await stores.usage(in: "library/busybox")?.liveBytes == images[2].wholeBytes)
            try await stores.expectProof()
        }
    }

    @Test("children of an index count with it, in either order, and go with its last tag")
    func index() async throws {
        try await TestDatabase.withStores { stores in
            let children = [ImageFixture.unique(), .unique()]
            let index = ImageFixture.index(children)
            try await stores.store(children[1])
            try await stores.tag("v1", index)
            try await stores.tag("v2", index)
            try await stores.store(children[0])
            let whole = index.wholeBytes + children.reduce(0) { $0 + $1.wholeBytes }
            #expect(try await stores.usage().liveBytes == whole)
            #expect(try await stores.end("v1"))
            #expect(try await stores.usage().liveBytes == whole)
            #expect(try await stores.end("v2"))
            // The child that was pulled by its digest before anything listed it is held for that.
            #expect(try await stores.usage().liveBytes == children[1].wholeBytes)
            #expect(try await stores.usage().reclaimableBytes == Int64(index.bytes.count + children[0].bytes.count))
            try await stores.expectProof()
        }
    }

    @Test("a tag that moves takes its usage along; what it named is reclaimable, and comes back when it is revived")
    func moveAndRevive() async throws {
        try await TestDatabase.withStores { stores in
            let (old, new) = (ImageFixture.unique(), ImageFixture.unique())
            let lifetime = try #require(try await stores.tag("latest", old)).id
            for blob in old.blobs { try await stores.place(blob) }
            try await stores.tag("latest", new)
            #expect(try await stores.usage().liveBytes == new.wholeBytes)
            #expect(try await stores.usage().reclaimableBytes == old.wholeBytes)
            #expect(try await LifetimeStore().revive(lifetime, organization: stores.organization, on: stores.client))
            #expect(try await stores.find("latest")?.digest == old.digest)
            #expect(try await stores.usage().usedBytes >= old.wholeBytes)
            let other = try await Stores.makeOrganization(on: stores.client)
            #expect(try await !LifetimeStore().revive(lifetime, organization: other, on: stores.client))
            try await stores.expectProof()
        }
    }

    @Test("bytes that are lost are reserved again")
    func lost() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            try await stores.tag("latest", image)
            for blob in image.blobs { try await stores.place(blob) }
            let placement = try #require(
                try await stores.blobs.state(of: image.blobs[1].digest, on: stores.client)?.placement
            )
            #expect(try await stores.blobs.unplace(placement, on: stores.client))
            #expect(try await stores.usage().reservedBytes == image.blobs[1].size)
            try await stores.expectProof()
        }
    }

    @Test("a pull by digest brings what isn't alive any more back, and its hold ends with its expiration")
    func holds() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let (repository, manifest) = try await stores.store(image)
            #expect(try await stores.usage().liveBytes == image.wholeBytes)
            func endHolds() async throws -> Int {
                try await stores.client.query(
                    "UPDATE repository_manifest SET held_until = now() WHERE repository_id = \(repository.rawValue)"
                )
                let lifetimes = LifetimeStore()
                let overdue = try await lifetimes.overdue(limit: 100_000, on: stores.client)
                let own = try #require(overdue.first { $0.organization == stores.organization })
                return try await lifetimes.end(own, together: 10, on: stores.client)
            }
            #expect(try await endHolds() >= 1)
            #expect(try await stores.usage().liveBytes == 0)
            let touch = PullTouch(repository: repository, manifest: manifest, tag: nil, isRenewing: true)
            try await PullStore().touch([touch: .now], on: stores.client)
            #expect(try await stores.usage().liveBytes == image.wholeBytes)
            try await stores.expectProof()
        }
    }

    @Test("repositories and organizations that are deleted take their counts along")
    func deletion() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            try await stores.tag("a", image)
            try await stores.tag("a", image, in: "library/busybox")
            try await stores.client.query(
                "DELETE FROM repository WHERE organization_id = \(stores.organization.rawValue) AND name = 'library/alpine'"
            )
            #expect(try await stores.usage().liveBytes == image.wholeBytes)
            try await stores.expectProof()
            try await stores.client.query("DELETE FROM organization WHERE id = \(stores.organization.rawValue)")
            #expect(try await stores.usage() == Usage())
        }
    }

    @Test("a recompute finds what is wrong, says so once, and puts it right")
    func drift() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let (repository, _) = try await stores.store(image)
            try await stores.tag("latest", image)
            let right = try await stores.usage()
            let organization = stores.organization.rawValue
            let damages: [Query] = [
                "UPDATE organization_usage SET used_bytes = used_bytes + 7 WHERE organization_id = \(organization)",
                "UPDATE repository_usage SET reserved_bytes = 0 WHERE repository_id = \(repository.rawValue)",
                "DELETE FROM organization_content WHERE organization_id = \(organization)",
                "UPDATE repository_content SET live_holders = 9 WHERE repository_id = \(repository.rawValue)",
                "UPDATE repository_manifest SET released_at = now() WHERE repository_id = \(repository.rawValue)",
            ]
            for damage in damages {
                try await stores.client.query(damage)
                let drift = try await stores.usages.recompute(stores.organization, on: stores.client)
                #expect(drift != nil, "\(damage)")
                #expect(drift?.after == right)
                #expect(try await stores.usage() == right)
                try await stores.expectProof("\(damage)")
            }
        }
    }

    @Test("manifests that are stored while their blobs are placed and tags end are counted right, without a deadlock")
    func concurrent() async throws {
        try await TestDatabase.withStores { stores in
            let other = try await Stores.makeOrganization(on: stores.client)
            let shared = (0..<4).map { _ in ImageFixture.Blob.unique() }
            let images = (0..<12).map { number in
                ImageFixture.image(layers: [.unique()] + shared.shuffled(), config: shared[number % 4])
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, image) in images.enumerated() {
                    group.addTask { try await stores.tag("t\(number % 5)", image, in: "r/\(number % 3)") }
                    group.addTask { try await stores.store(image, in: "r/\(number % 2)", of: other) }
                    group.addTask { _ = try await stores.end("t\(number % 5)", in: "r/\(number % 3)") }
                }
                for blob in shared {
                    group.addTask {
                        try await eventually("the blob is named") {
                            try await stores.blobs.state(of: blob.digest, on: stores.client) != nil
                        }
                        try await stores.place(blob)
                    }
                }
                try await group.waitForAll()
            }
            try await stores.expectProof()
            #expect(try await stores.usages.recompute(other, on: stores.client) == nil)
        }
    }
}
