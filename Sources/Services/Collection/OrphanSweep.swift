// SPDX-License-Identifier: Apache-2.0

package import Blobs
package import Logging
import Metadata
package import Models
package import Postgres

/// Compares storage and rows, part by part, both ways: objects that no row speaks of are removed, and rows whose object is
/// missing are told so, so that the next pull fetches the blob again.
package struct OrphanSweep: Sendable {
    private let client: PostgresClient
    private let storage: any BlobInventory
    private let grace: Duration
    private let logger: Logger
    private let store = ScrubStore()
    private let blobs = BlobStore()
    private let totals = CollectionStore()

    /// - Parameter grace: younger objects and rows may be on their way
    package init(client: PostgresClient, storage: any BlobInventory, grace: Duration, logger: Logger) {
        self.client = client
        self.storage = storage
        self.grace = grace
        self.logger = logger
    }

    /// What is amiss in one part of the storage.
    package struct Finding: Sendable {
        package let orphans: [BlobPlacement]
        package let lost: [BlobPlacement]
    }

    /// - Parameter parts: nil for all
    package func sweep(_ parts: [String]? = nil) async throws {
        for part in parts ?? storage.parts {
            try Task.checkCancellation()
            let found = try await look(at: part)
            let storage = storage
            try await BlockingIO.run { for orphan in found.orphans { try storage.remove(orphan) } }
            for orphan in found.orphans {
                logger.warning(
                    "object without a row removed",
                    metadata: ["object": "\(orphan.digest).\(orphan.generation)"]
                )
            }
            for placement in found.lost {
                logger.error("stored blob is lost", metadata: ["digest": "\(placement.digest)"])
                try await blobs.unplace(placement, on: client)
            }
            try await totals.add(
                .init(
                    .orphans,
                    items: Int64(found.orphans.count),
                    bytes: found.orphans.reduce(0) { $0 + $1.sizeBytes }
                ),
                on: client
            )
            try await totals.add(.init(.lost, items: Int64(found.lost.count)), on: client)
        }
    }

    package func look(at part: String) async throws -> Finding {
        let (storage, grace) = (storage, grace)
        // Rows first: what is placed after this look has an object that is younger than the grace.
        let placements = try await store.placements(prefix: part, placedBefore: grace, on: client)
        let objects = try await BlockingIO.run { try storage.objects(in: part, unchangedFor: grace) }
        let known = try await store.known(objects.map(\.generation), on: client)
        let lost = try await BlockingIO.run { try placements.filter { try !Self.isThere($0, in: storage) } }
        return Finding(orphans: objects.filter { !known.contains($0.generation) }, lost: lost)
    }

    private static func isThere(_ placement: BlobPlacement, in storage: any BlobInventory) throws -> Bool {
        do {
            _ = try storage.open(placement)
            return true
        } catch let error as BlobStorageError where error.code == .missing || error.code == .damaged {
            return false
        }
    }
}
