// SPDX-License-Identifier: Apache-2.0

import Blobs
import Collection
import Foundation
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport

/// A migrated database, a folder of blobs, and what a fetcher does to both.
struct Bench {
    let client: PostgresClient
    let storage: FileBlobStorage
    let folder: TemporaryDirectory
    let organizations: [OrganizationID]

    static func with<Result>(_ body: (Bench) async throws -> Result) async throws -> Result {
        let database = try await PostgresCluster.shared().makeMigratedDatabase()
        let client = PostgresClient(
            PostgresConfiguration.patient(database, maximumConnections: 8),
            logger: quiet
        )
        do {
            let folder = try TemporaryDirectory(isInMemory: true)
            let bench = Bench(
                client: client,
                storage: try FileBlobStorage(root: folder.path + "/storage"),
                folder: folder,
                organizations: [
                    try await organization("one", client), try await organization("two", client),
                ]
            )
            let result = try await body(bench)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func organization(_ name: String, _ client: PostgresClient) async throws -> OrganizationID {
        let name = try OrganizationName(name)
        let upstream = UpstreamAddress(registry: "quay.io", namespace: nil, isInsecure: false)
        try await OrganizationStore().proxy(name, from: upstream, on: client)
        guard let found = try await OrganizationStore().find(name, on: client) else {
            throw TestSupportError("the organization that was just made isn't there")
        }
        return found.id
    }

    func collector(_ limits: CollectionStore.Limits) -> Collector {
        Collector(client: client, storage: storage, limits: limits, logger: Self.quiet)
    }

    /// Nothing is kept for any time.
    static var atOnce: CollectionStore.Limits {
        var limits = CollectionStore.Limits()
        limits.timeMachine = .zero
        limits.grace = .zero
        limits.batch = 3
        return limits
    }

    /// Writes an object, which no row speaks of yet.
    func publish(_ blob: ImageFixture.Blob) throws -> BlobPlacement {
        let writer = try storage.createPartial(blob.digest, Generation(), expectedBytes: blob.size)
        defer { writer.close() }
        try blob.bytes(0..<blob.size).withUnsafeBytes { try writer.append($0) }
        try writer.markVerified()
        try writer.publish()
        return BlobPlacement(digest: blob.digest, generation: writer.generation, sizeBytes: blob.size)
    }

    /// Brings a blob's bytes, if some manifest names it and they aren't here. As the fetcher does.
    func bring(_ blob: ImageFixture.Blob) async throws {
        guard let state = try await BlobStore().state(of: blob.digest, on: client), state.placement == nil else {
            return
        }
        let placement = try publish(blob)
        do {
            let replaced = try await client.withTransaction { transaction in
                try await UsageStore().lockHolders(of: blob.digest, on: transaction)
                return try await BlobStore().place(placement, on: transaction)
            }
            if let replaced { try storage.remove(replaced) }
        } catch is MetadataError {
            // The row was collected meanwhile: nobody knows the object.
            try storage.remove(placement)
        }
    }

    /// Stores an image for a tag, or for its digest; prunes when there is no room.
    func pull(
        _ image: ImageFixture,
        as tag: TagName?,
        in repository: RepositoryName,
        of organization: OrganizationID
    ) async throws {
        let document = try ManifestDocument(bytes: image.bytes, contentType: MediaType(image.mediaType))
        try await client.withTransaction { transaction in
            try await UsageStore().lock(organization, on: transaction)
            if let tag {
                try await TagStore().endLifetime(
                    of: tag,
                    unlessOf: image.digest,
                    repository: repository,
                    organization: organization,
                    on: transaction
                )
            }
            let request = AdmissionStore.Request(
                organization: organization,
                repository: repository,
                digest: image.digest,
                document: document,
                manifestBytes: image.bytes.count
            )
            let decision = try await AdmissionStore().decide(request, on: transaction)
            if case .prune(let victims) = decision.admission {
                try await PruneStore().end(victims, on: transaction)
                let usage = try await UsageStore().usage(of: organization, on: transaction)
                guard let quota = decision.quota, usage.liveBytes <= quota.limitBytes else {
                    throw TestSupportError("pruning freed less than was proved")
                }
            }
            let (repositoryID, manifest) = try await ManifestStore().store(
                document,
                bytes: image.bytes,
                digest: image.digest,
                repository: repository,
                organization: organization,
                keeping: tag == nil ? .hold : .tag,
                on: transaction
            )
            guard let tag else { return }
            try await TagStore().point(
                tag,
                at: manifest,
                repository: repositoryID,
                expiration: .seconds(86_400),
                on: transaction
            )
        }
    }

    /// One batch of each organization's.
    func dropMembers(_ limits: CollectionStore.Limits) async throws -> Int {
        var dropped = 0
        for owner in try await CollectionStore().ownersOfMembers(limits, on: client) {
            dropped += try await CollectionStore().dropMembers(of: owner, limits, on: client)
        }
        return dropped
    }

    /// Paths of stored objects.
    func objects() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder.path + "/storage/blobs").filter { $0.contains(".") }
    }

    func count(_ query: Query) async throws -> Int {
        try await client.query(query).decodeFirst(Int.self) ?? -1
    }
}
