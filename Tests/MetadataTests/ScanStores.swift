// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport

/// The stores of scans, over a database of their own: a scanner's state is one for all.
struct ScanStores {
    let stores: Stores
    let scans = ScanStore()
    let reports = ScanReportStore()
    let notifications = ScanNotificationStore()

    var client: PostgresClient { stores.client }

    /// Brings a blob here, as a fetch does: its row, and what it completes, in one transaction.
    func place(_ blob: ImageFixture.Blob) async throws {
        try await client.withTransaction { transaction in
            let placement = BlobPlacement(digest: blob.digest, generation: Generation(), sizeBytes: blob.size)
            // As fetchers do: who stores a manifest takes its locks in the same order.
            try await UsageStore().lockHolders(of: blob.digest, on: transaction)
            _ = try await stores.blobs.place(placement, on: transaction)
            let completed = try await ImageStateStore().completed(by: blob.digest, on: transaction)
            _ = try await scans.queue(completed, on: transaction)
        }
    }

    /// Stores a manifest, as a fetch does.
    @discardableResult
    func store(_ image: ImageFixture) async throws -> ManifestID {
        let document = try ManifestDocument(bytes: image.bytes, contentType: MediaType(image.mediaType))
        return try await client.withTransaction { transaction in
            let (_, id) = try await stores.manifests.store(
                document,
                bytes: image.bytes,
                digest: image.digest,
                repository: try stores.repository(),
                organization: stores.organization,
                on: transaction
            )
            _ = try await scans.queueIfComplete(id, on: transaction)
            return id
        }
    }

    func complete(_ image: ImageFixture) async throws -> ManifestID {
        let id = try await store(image)
        for blob in image.blobs { try await place(blob) }
        return id
    }

    func state(_ id: ManifestID) async throws -> ScanState? { try await scans.image(id, on: client)?.state }

    func due() async throws -> [ManifestID] {
        try await scans.takeDue(limit: 100, pause: .seconds(3_600), on: client)
    }

    func record(_ verdict: ScanVerdict, _ id: ManifestID, indexState: String? = "s1") async throws {
        try await scans.record(
            verdict,
            of: id,
            indexState: indexState,
            isIndexed: verdict.state == .scanned,
            isAnswered: true,
            on: client
        )
    }

    static func with(_ body: (ScanStores) async throws -> Void) async throws {
        let database = try await PostgresCluster.shared().makeMigratedDatabase()
        try await TestDatabase.withClient(of: database) { client in
            let organization = try await Stores.makeOrganization(on: client)
            try await body(ScanStores(stores: Stores(client: client, organization: organization)))
        }
    }
}
