// SPDX-License-Identifier: Apache-2.0

import Blobs
import Jobs
import Logging
import Metadata
import Models
import OCI
import Postgres
import Upstream

/// Brings a blob's bytes into the storage, where clients read them while they arrive.
///
/// Doing it twice is harmless: the second worker finds the blob placed, or takes over the partial of the first if that
/// one is dead, or makes a partial of its own. Only the holder of the job's lease publishes.
struct BlobFetchHandler: JobHandler {
    let kind = JobKind.blobFetch

    private let client: PostgresClient
    private let storage: any BlobStorage
    private let upstream: UpstreamClient
    private let notifier: JobNotifier
    private let progress: ProgressRecorder
    private let logger: Logger
    private let organizations = OrganizationStore()
    private let blobs = BlobStore()
    private let usage = UsageStore()
    private let states = ImageStateStore()
    private let scans = ScanStore()
    private let queue = JobQueue()

    init(
        client: PostgresClient,
        storage: any BlobStorage,
        upstream: UpstreamClient,
        notifier: JobNotifier,
        progress: ProgressRecorder,
        logger: Logger
    ) {
        self.client = client
        self.storage = storage
        self.upstream = upstream
        self.notifier = notifier
        self.progress = progress
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let fetch = try JSONText.decode(BlobFetch.self, job.payload)
        var logger = logger
        logger[metadataKey: "job.id"] = "\(job.lease.job)"
        logger[metadataKey: "digest"] = "\(fetch.digest)"
        do {
            try await bring(fetch, job, logger)
            await notifier.notify(.blobs, [fetch.digest.description])
            return .finished
        } catch let failure as FetchFailure {
            return outcome(of: job, failure, logger)
        } catch let error as BlobStorageError {
            logger.error("storage failed", metadata: ["error": "\(error)"])
            return outcome(of: job, FetchFailure(.cache, "the cache's storage failed (\(error.code))"), logger)
        }
    }

    private func outcome(of job: ClaimedJob, _ failure: FetchFailure, _ logger: Logger) -> JobOutcome {
        logger.warning("blob not fetched", metadata: ["cause": "\(failure.cause)", "reason": "\(failure)"])
        return FillPolicy.outcome(of: job, failure, result: JSONText.encode(FetchVerdict<String>(failure: failure)))
    }

    private func bring(_ fetch: BlobFetch, _ job: ClaimedJob, _ logger: Logger) async throws {
        // A client waits: both are looked up at once.
        async let place = UpstreamRepository.find(
            organization: fetch.organization,
            repository: fetch.repository,
            organizations,
            on: client
        )
        guard let state = try await blobs.state(of: fetch.digest, on: client) else {
            throw FetchFailure(.notFound, "no manifest names \(fetch.digest)")
        }
        guard state.placement == nil else {
            return try await queue.complete(job.lease, result: Self.success(fetch), on: client)
        }
        if job.isFill, try await !blobs.isAlive(fetch.digest, on: client),
            try await !queue.isRaised(job, on: client)
        {
            throw FetchFailure(.notFound, "nothing keeps \(fetch.digest) any more")
        }
        let (repository, config) = try await place
        var leftover = state.partial
        // Bytes that turned out wrong, or too many, are worth one fresh start: the fault may have been on the way.
        for isLastChance in [false, true] {
            let writer = try await acquire(leftover, fetch, job)
            defer { writer.close() }
            var download = BlobDownload(
                fetch: fetch,
                repository: repository,
                writer: writer,
                validator: writer.generation == leftover?.generation ? leftover?.validator : nil,
                transfer: { start, sink in try await transfer(fetch, repository, config, from: start, into: sink) },
                logger: logger
            ) { validator in
                let partial = PartialRecord(generation: writer.generation, validator: validator)
                try await record(partial, of: fetch, job)
            }
            // A fill comes back later: an upstream that stumbles isn't pressed for what nobody waits for.
            if job.isFill { download.maximumFruitlessTries = 1 }
            let failure: FetchFailure
            do {
                let digest = try await progress.watching(writer, of: fetch.digest) { try await download.run() }
                if digest == fetch.digest {
                    return try await publish(writer, fetch, job, logger)
                }
                failure = FetchFailure(.badContent, "upstream \(repository) sent other bytes than blob \(fetch.digest)")
                logger.warning("blob has the wrong digest", metadata: ["reason": "\(failure)"])
            } catch let refusal as FetchFailure {
                failure = refusal
            } catch let error as BlobStorageError {
                // A device that can't take more has least use for room that is kept for nothing.
                try writer.giveBackRoom()
                throw error
            }
            // What is full and still wrong is no use to anybody.
            let isSpoilt = failure.cause == .badContent && writer.storedBytes == fetch.sizeBytes
            try await leave(writer, isSpoilt: isSpoilt, fetch, job)
            if isLastChance || !isSpoilt { throw failure }
            leftover = nil
        }
    }

    /// Keeps what the next try can go on with, but none of the device's room beyond it: manifests may declare any size.
    private func leave(
        _ writer: any PartialWriter,
        isSpoilt: Bool,
        _ fetch: BlobFetch,
        _ job: ClaimedJob
    ) async throws {
        guard isSpoilt || writer.storedBytes == 0 else { return try writer.giveBackRoom() }
        try writer.discard()
        let forgetting = blobs.forgetting(writer.generation, of: fetch.digest)
        try await queue.perform(forgetting, holding: job.lease, on: client)
    }

    /// The registry is asked first, for foreign layers, too: some have them.
    private func transfer(
        _ fetch: BlobFetch,
        _ repository: UpstreamRepository,
        _ config: ProxyCacheConfig,
        from start: BlobStart,
        into sink: any BlobSink
    ) async throws {
        do {
            try await upstream.blob(fetch.digest, in: repository, from: start, into: sink)
        } catch let failure as FetchFailure where failure.cause == .notFound {
            let addresses = try await blobs.foreignAddresses(
                of: fetch.digest,
                repository: fetch.repository,
                organization: fetch.organization,
                on: client
            )
            guard let addresses else { throw failure }
            try await upstream.foreignLayer(
                fetch.digest,
                at: addresses,
                hosts: config.foreignLayerHosts,
                in: repository,
                from: start,
                into: sink
            )
        }
    }

    /// Takes over the partial of a dead worker, or makes one. The row comes before the file: a file that no row speaks
    /// of can only be one that was replaced.
    private func acquire(
        _ leftover: PartialRecord?,
        _ fetch: BlobFetch,
        _ job: ClaimedJob
    ) async throws -> any PartialWriter {
        if let leftover {
            do {
                let resumed = try storage.resumePartial(
                    fetch.digest,
                    leftover.generation,
                    expectedBytes: fetch.sizeBytes
                )
                if let writer = resumed {
                    if writer.storedBytes <= fetch.sizeBytes {
                        await notifier.notify(.blobs, [fetch.digest.description])
                        return writer
                    }
                    try writer.discard()
                }
            } catch let error as BlobStorageError where error.code == .inUse {
                // A worker that is neither dead nor in possession of the job. It may write on, into a file of its own.
                logger.warning("partial has a live writer", metadata: ["digest": "\(fetch.digest)"])
            }
        }
        let generation = Generation()
        try await record(PartialRecord(generation: generation, validator: nil), of: fetch, job)
        let writer = try storage.createPartial(fetch.digest, generation, expectedBytes: fetch.sizeBytes)
        await notifier.notify(.blobs, [fetch.digest.description])
        return writer
    }

    private func record(_ partial: PartialRecord, of fetch: BlobFetch, _ job: ClaimedJob) async throws {
        try await queue.perform(blobs.recording(partial, of: fetch.digest), holding: job.lease, on: client)
    }

    /// Clients get the last bytes as soon as the digest is known to be right; then the file becomes durable, then the
    /// row says so. Fails without harm when the lease is lost: nobody knows the new object.
    private func publish(
        _ writer: any PartialWriter,
        _ fetch: BlobFetch,
        _ job: ClaimedJob,
        _ logger: Logger
    ) async throws {
        let placement = BlobPlacement(
            digest: fetch.digest,
            generation: writer.generation,
            sizeBytes: writer.storedBytes
        )
        try writer.markVerified()
        try await BlockingIO.run { try writer.publish() }
        let replaced: BlobPlacement?
        let completed: [ManifestID]
        let scanned: Int
        do {
            (replaced, completed, scanned) = try await client.withTransaction { transaction in
                try await usage.lockHolders(of: fetch.digest, on: transaction)
                let replaced = try await blobs.place(placement, on: transaction)
                let completed = replaced == nil ? try await states.completed(by: fetch.digest, on: transaction) : []
                let scanned = try await scans.queue(completed, on: transaction)
                // Last: who stores a manifest holds the locks above when it comes to jobs.
                try await queue.complete(job.lease, result: Self.success(fetch), on: transaction)
                return (replaced, completed, scanned)
            }
        } catch {
            // Shielded from what has interrupted it: the loss of the lease itself cancels this task.
            await Task {
                do { try await takeBack(placement, job) } catch {
                    // Nobody knows the object, so no reader is harmed; the sweep for what no row knows takes it.
                    logger.warning("stored blob not taken back", metadata: ["error": "\(error)"])
                }
            }.value
            throw error
        }
        if let replaced { try storage.remove(replaced) }
        if scanned > 0 { await notifier.jobsAvailable(.scans) }
        logger.info(
            "blob fetched",
            metadata: ["bytes": "\(placement.sizeBytes)", "completed": "\(completed.count)"]
        )
    }

    /// Removes what was stored and can't be recorded any more. While the lease is held, it can, by the next worker if not by
    /// us; once it is lost, what hasn't been recorded by then never is.
    private func takeBack(_ placement: BlobPlacement, _ job: ClaimedJob) async throws {
        do {
            try await queue.fence(job.lease, on: client)
        } catch let error as JobQueueError where error.code == .leaseLost {
            let recorded = try await blobs.state(of: placement.digest, on: client)?.placement
            if recorded?.generation != placement.generation { try storage.remove(placement) }
        }
    }

    private static func success(_ fetch: BlobFetch) -> String {
        JSONText.encode(FetchVerdict(success: fetch.digest.description))
    }
}
