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
        /// Of files that can't be looked at.
        package let failures: [BlobStorageError]
    }

    /// - Parameter parts: nil for all
    package func sweep(_ parts: [String]? = nil) async throws {
        for part in parts ?? storage.parts {
            try Task.checkCancellation()
            do {
                try await sweep(part)
            } catch let error as BlobStorageError {
                logger.report([error], as: "a part of the storage can't be compared")
            }
        }
    }

    private func sweep(_ part: String) async throws {
        let found = try await look(at: part)
        let removal = try await storage.removeAll(found.orphans)
        logger.report(found.failures + removal.failures, as: "stored files can't be compared")
        for orphan in removal.removed {
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
                items: Int64(removal.removed.count),
                bytes: removal.removed.reduce(0) { $0 + $1.sizeBytes }
            ),
            on: client
        )
        try await totals.add(.init(.lost, items: Int64(found.lost.count)), on: client)
    }

    package func look(at part: String) async throws -> Finding {
        let (storage, grace) = (storage, grace)
        // Rows first: what is placed after this look has an object that is younger than the grace.
        let placements = try await store.placements(prefix: part, placedBefore: grace, on: client)
        let (objects, unreadable) = try await BlockingIO.run {
            var failures: [BlobStorageError] = []
            let objects = try storage.objects(in: part, unchangedFor: grace) { failures.append($0) }
            return (objects, failures)
        }
        let known = try await store.known(objects.map(\.generation), on: client)
        let (lost, unopened) = try await BlockingIO.run { try Self.lost(placements, in: storage) }
        return Finding(
            orphans: objects.filter { !known.contains($0.generation) },
            lost: lost,
            failures: unreadable + unopened
        )
    }

    /// Which of these have no object, and why nobody knows of some.
    private static func lost(
        _ placements: [BlobPlacement],
        in storage: any BlobInventory
    ) throws -> (lost: [BlobPlacement], failures: [BlobStorageError]) {
        var (lost, failures): ([BlobPlacement], [BlobStorageError]) = ([], [])
        for placement in placements {
            do {
                _ = try storage.open(placement)
            } catch let error as BlobStorageError {
                if error.isLoss {
                    lost.append(placement)
                } else {
                    failures.append(error)
                }
            }
        }
        return (lost, failures)
    }
}
