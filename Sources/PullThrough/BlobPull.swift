// SPDX-License-Identifier: Apache-2.0

package import Blobs
package import Logging
import Metadata
package import Models
package import OCI
package import Postgres

/// Finds a blob's bytes: stored, or to be followed while they arrive.
package struct BlobPull: Sendable {
    private struct Key: Hashable {
        let organization: OrganizationID
        let repository: RepositoryName
        let digest: Digest
    }

    package enum Source: Sendable {
        case stored(any BlobReader, sizeBytes: Int64)
        /// Not here: follow this fetch.
        case absent(BlobFetch)

        package var sizeBytes: Int64 {
            switch self {
            case .stored(_, let sizeBytes): sizeBytes
            case .absent(let fetch): fetch.sizeBytes
            }
        }
    }

    private let client: PostgresClient
    private let storage: any BlobStorage
    private let logger: Logger
    private let blobs = BlobStore()
    private let finding = Coalescer<Key, DeclaredBlob?>()
    private let placements = BoundedCache<Key, BlobPlacement>(maximumCost: 100_000, lifetime: .seconds(10))

    package init(client: PostgresClient, storage: any BlobStorage, logger: Logger) {
        self.client = client
        self.storage = storage
        self.logger = logger
    }

    /// - Parameter repository: canonical name inside the organization
    /// - Returns: nil when no manifest of this repository names the digest, or when nothing can be fetched
    package func find(
        _ digest: Digest,
        repository: RepositoryName,
        organization: Organization
    ) async throws -> Source? {
        let key = Key(organization: organization.id, repository: repository, digest: digest)
        if let placement = placements[key], let source = try await open(placement, key) { return source }
        let found = try await finding.value(for: key) {
            try await blobs.find(digest, repository: repository, organization: organization.id, on: client)
        }
        guard let blob = found else { return nil }
        if let placement = blob.placement, let source = try await open(placement, key) {
            placements.insert(placement, for: key)
            return source
        }
        guard let config = organization.proxyCache else { return nil }
        return .absent(
            BlobFetch(
                organization: organization.id,
                upstream: config.upstream.baseURL,
                repository: repository,
                digest: digest,
                sizeBytes: blob.sizeBytes
            )
        )
    }

    /// Nil when the object isn't what its row says: the row is corrected, and the blob fetched again.
    private func open(_ placement: BlobPlacement, _ key: Key) async throws -> Source? {
        do {
            return .stored(try storage.open(placement), sizeBytes: placement.sizeBytes)
        } catch let error as BlobStorageError where error.isLoss {
            placements.remove(key)
            logger.error("stored blob is lost", metadata: ["digest": "\(placement.digest)", "error": "\(error)"])
            try await blobs.unplace(placement, on: client)
            return nil
        }
    }
}
