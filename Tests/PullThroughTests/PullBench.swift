// SPDX-License-Identifier: Apache-2.0

import Blobs
import Jobs
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@testable import PullThrough

/// A frontend's half of a deployment, over a database of its own; the test is the fetcher.
///
/// Nothing is notified, so whatever is found out is found out by looking.
struct PullBench: Sendable {
    let logger = Logger(label: "pull-tests") { _ in SwiftLogNoOpLogHandler() }
    let client: PostgresClient
    let storage: FileBlobStorage
    let follower: BlobFollower
    let desk: FetchDesk
    let hub: ChangeHub
    let notifier: JobNotifier
    let blob: BlobFixture
    /// The blob, as the manifest that names it declares it.
    let fetch: BlobFetch
    private let queue = JobQueue()

    /// - Parameters:
    ///   - manifestDeadline: how long an ask for a manifest may take
    ///   - patience: how long who has something else waits for it
    static func with(
        size: Int64 = 500_000,
        manifestDeadline: Duration = .seconds(60),
        patience: Duration = .seconds(60),
        _ body: @Sendable (PullBench) async throws -> Void
    ) async throws {
        let folder = try TemporaryDirectory(isInMemory: true)
        let bench = try await PullBench(folder.path, size, manifestDeadline, patience)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await bench.follower.run() }
            group.addTask { try await bench.desk.run() }
            defer { group.cancelAll() }
            try await body(bench)
        }
        await bench.client.close()
        withExtendedLifetime(folder) {}
    }

    private init(
        _ folder: String,
        _ size: Int64,
        _ manifestDeadline: Duration,
        _ patience: Duration
    ) async throws {
        // The first who asks waits until a server has started: not on a thread that other tests need.
        let connectionString = try await PostgresCluster.shared().makeMigratedDatabase()
        let database = PostgresConfiguration.patient(connectionString)
        client = PostgresClient(database, logger: logger)
        storage = try FileBlobStorage(root: folder + "/storage")
        hub = ChangeHub(database, logger: logger)
        notifier = JobNotifier(client: client, logger: logger)
        var configuration = BlobFollower.Configuration()
        configuration.pollInterval = .milliseconds(20)
        follower = BlobFollower(
            configuration,
            client: client,
            storage: storage,
            notifier: notifier,
            hub: hub,
            logger: logger
        )
        desk = FetchDesk(
            client: client,
            notifier: notifier,
            hub: hub,
            deadline: manifestDeadline,
            patience: patience,
            logger: logger
        )
        blob = BlobFixture(seed: 1, size: size)
        let stores = (organizations: OrganizationStore(), manifests: ManifestStore())
        let name = try OrganizationName("acme")
        try await stores.organizations.proxy(name, from: try UpstreamAddress(parsing: "quay.io"), on: client)
        let organization = try #require(try await stores.organizations.find(name, on: client))
        let image = ImageFixture.image(layers: [.fixture(blob)])
        fetch = BlobFetch(
            organization: organization.id,
            upstream: ProxyCacheConfig.sample.upstream.baseURL,
            repository: try RepositoryName("team/app"),
            digest: blob.digest(),
            sizeBytes: size
        )
        _ = try await stores.manifests.store(
            ManifestDocument(bytes: image.bytes, contentType: nil),
            bytes: image.bytes,
            digest: image.digest,
            repository: fetch.repository,
            organization: fetch.organization,
            on: client
        )
    }

    /// The same blob for a repository that has another upstream.
    func foreign() throws -> BlobFetch {
        BlobFetch(
            organization: fetch.organization,
            upstream: fetch.upstream,
            repository: try RepositoryName("other/app"),
            digest: fetch.digest,
            sizeBytes: fetch.sizeBytes
        )
    }

    // MARK: - What fetchers do

    /// Takes the next job, as soon as there is one.
    func claim(_ queueName: JobQueueName = .blobs) async throws -> ClaimedJob {
        var claimed: [ClaimedJob] = []
        try await eventually("a job is queued for \(queueName)") {
            claimed = try await queue.claim(
                queueName,
                kinds: [.blobFetch, .manifestFetch],
                limit: 1,
                worker: "test",
                lease: .seconds(60),
                on: client
            ).jobs
            return !claimed.isEmpty
        }
        return try #require(claimed.first)
    }

    func fail(_ job: ClaimedJob, _ failure: FetchFailure) async throws {
        let result = JSONText.encode(FetchVerdict<String>(failure: failure))
        try await queue.fail(job.lease, reason: failure.message, retryAfter: nil, result: result, on: client)
    }

    func complete(_ job: ClaimedJob, _ fetched: ManifestFetched) async throws {
        try await queue.complete(job.lease, result: JSONText.encode(FetchVerdict(success: fetched)), on: client)
    }

    /// Begins a partial that holds the blob's first bytes, or others, and says so.
    func partial(_ bytes: [UInt8]) async throws -> any PartialWriter {
        let generation = Generation()
        let writer = try storage.createPartial(fetch.digest, generation, expectedBytes: fetch.sizeBytes)
        try writer.append(bytes)
        let record = PartialRecord(generation: generation, validator: nil)
        try await client.query(BlobStore().recording(record, of: fetch.digest))
        return writer
    }

    func place(_ writer: any PartialWriter) async throws {
        try writer.markVerified()
        try writer.publish()
        writer.close()
        let placement = BlobPlacement(
            digest: fetch.digest,
            generation: writer.generation,
            sizeBytes: writer.storedBytes
        )
        _ = try await BlobStore().place(placement, on: client)
    }

    func count(_ statement: Query) async throws -> Int64 {
        try #require(try await client.query(statement).decodeFirst(Int64.self))
    }
}

extension PartialWriter {
    func append(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try append($0) }
    }
}

extension BlobReader {
    /// As many bytes of the range as there are.
    func bytes(_ range: Range<Int64>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            count = try read(into: UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound)
        }
    }
}
