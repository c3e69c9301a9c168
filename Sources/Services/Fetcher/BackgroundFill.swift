// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import OCI
import Postgres

/// Queues what no client asked for, so that images become complete: clients skip layers that they have, and without
/// those the image couldn't be served once its upstream is gone.
struct BackgroundFill: Sendable {
    /// Between the manifest and the fetch of what belongs to it: clients' own requests come first. Nil: nothing is filled.
    let delay: Duration?
    let logger: Logger
    private let blobs = BlobStore()
    private let queue = JobQueue()

    init(delay: Duration?, logger: Logger) {
        self.delay = delay
        self.logger = logger
    }

    /// Queues the blobs of a manifest that aren't here, and the children of an index that are for platforms which the
    /// organization lists. Runs in the transaction that stores the manifest.
    func enqueue(
        for document: ManifestDocument,
        manifest: ManifestID,
        _ fetch: ManifestFetch,
        _ config: ProxyCacheConfig,
        on transaction: some Queryable
    ) async throws {
        guard let delay else { return }
        try await queue.enqueueFills(
            children(of: document, fetch, config),
            after: delay,
            maxAttempts: FillPolicy.maximumAttempts,
            on: transaction
        )
        guard !document.blobs.isEmpty else { return }
        let fetches = try await blobs.absent(from: manifest, on: transaction).map { blob in
            BlobFetch(
                organization: fetch.organization,
                upstream: config.upstream.baseURL,
                repository: fetch.repository,
                digest: blob.digest,
                sizeBytes: blob.sizeBytes
            )
        }
        try await queue.enqueueFills(
            fetches,
            after: delay,
            maxAttempts: FillPolicy.maximumAttempts,
            on: transaction
        )
    }

    private func children(
        of document: ManifestDocument,
        _ fetch: ManifestFetch,
        _ config: ProxyCacheConfig
    ) -> [ManifestFetch] {
        let children = document.children
        guard !children.isEmpty else { return [] }
        let platforms = config.platforms.compactMap { text -> Platform? in
            do { return try Platform(text) } catch {
                logger.warning("platform not understood", metadata: ["error": "\(error)"])
                return nil
            }
        }
        guard !platforms.isEmpty else { return [] }
        return PlatformChoice.only(platforms).select(from: children).map { child in
            ManifestFetch(
                organization: fetch.organization,
                config: config,
                repository: fetch.repository,
                reference: .digest(child.digest)
            )
        }
    }
}
