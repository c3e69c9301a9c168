// SPDX-License-Identifier: Apache-2.0

package import Blobs
package import Jobs
package import Logging
import Metadata
package import Models
import OCI
package import Postgres
import ServiceLifecycle
import Synchronization
import Tracing
import Waiting

/// Asks the fetchers for blobs and follows them while they arrive: one follow for each blob of a repository in this
/// process, whatever number of clients reads it. Repositories with the same blob share the fetch, but not its failure:
/// their upstreams are others.
package final class BlobFollower: Service {
    package struct Configuration: Sendable {
        /// How often an arriving file is looked at.
        package var tailInterval: Duration = .milliseconds(3)
        /// How often the database is looked at when nothing was notified.
        package var pollInterval: Duration = .milliseconds(500)
        /// How long a client waits for one more byte.
        package var stallDeadline: Duration = .seconds(120)

        package init() {}
    }

    private let configuration: Configuration
    private let client: PostgresClient
    private let storage: any BlobStorage
    private let notifier: JobNotifier
    private let hub: ChangeHub
    private let logger: Logger
    private let queue = JobQueue()
    private let blobs = BlobStore()
    private let open = Mutex<[BlobFetch: BlobFollow]>([:])
    private let follows: AsyncStream<BlobFollow>
    private let submit: AsyncStream<BlobFollow>.Continuation

    package init(
        _ configuration: Configuration = .init(),
        client: PostgresClient,
        storage: any BlobStorage,
        notifier: JobNotifier,
        hub: ChangeHub,
        logger: Logger
    ) {
        self.configuration = configuration
        self.client = client
        self.storage = storage
        self.notifier = notifier
        self.hub = hub
        self.logger = logger
        (follows, submit) = AsyncStream.makeStream()
    }

    /// Runs until cancelled. A graceful shutdown doesn't end it: clients that are being served need it to the end.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            for await follow in follows {
                group.addTask { [self] in await ServiceContext.withValue(follow.context) { await drive(follow) } }
            }
            group.cancelAll()
        }
    }

    /// Joins the follow of a blob, which lasts as long as somebody holds a handle of it. The fetch itself goes on
    /// whether anybody does or not.
    package func join(_ fetch: BlobFetch) -> BlobFollowHandle {
        let (follow, isNew) = open.withLock { open in
            if let follow = open[fetch] {
                follow.addReader()
                return (follow, false)
            }
            let follow = BlobFollow(fetch: fetch, stallDeadline: configuration.stallDeadline)
            follow.addReader()
            open[fetch] = follow
            return (follow, true)
        }
        if isNew { submit.yield(follow) }
        return BlobFollowHandle(follow: follow, follower: self)
    }

    fileprivate func leave(_ follow: BlobFollow) {
        open.withLock { open in
            guard follow.removeReader(), open[follow.fetch] === follow else { return }
            open[follow.fetch] = nil
        }
    }

    // MARK: - Driving a follow

    private func drive(_ follow: BlobFollow) async {
        let digest = follow.fetch.digest
        let wakeUp = WakeUp()
        hub.add(wakeUp, for: .blob(digest.description))
        defer { hub.remove(wakeUp, for: .blob(digest.description)) }
        do {
            while follow.hasReaders {
                do {
                    try await ask(follow, wakeUp)
                    return
                } catch is AskAgain {
                    continue
                }
            }
        } catch is CancellationError {
            follow.failed(FetchFailure(.cache, "this frontend is shutting down"))
        } catch {
            follow.failed(error)
        }
        // Who comes after a failure begins a new follow.
        open.withLock { if $0[follow.fetch] === follow { $0[follow.fetch] = nil } }
    }

    /// The job ended without giving us anything, for a reason that isn't ours.
    private struct AskAgain: Error {}

    private func ask(_ follow: BlobFollow, _ wakeUp: WakeUp) async throws {
        let job = try await queue.enqueue(follow.fetch, on: client)
        hub.add(wakeUp, for: .job(job))
        defer { hub.remove(wakeUp, for: .job(job)) }
        await notifier.jobsAvailable(BlobFetch.queue)
        var tail: (generation: Generation, reader: any PartialReader)?
        while follow.hasReaders {
            try Task.checkCancellation()
            let state = try await look(follow, job)
            if let placement = state?.placement {
                try Self.check(placement.sizeBytes, of: follow.fetch)
                guard let object = try await open(placement) else { throw AskAgain() }
                return follow.present(object)
            }
            if let partial = state?.partial, partial.generation != tail?.generation {
                tail = try storage.openPartial(follow.fetch.digest, partial.generation).map { (partial.generation, $0) }
            }
            if try await self.tail(tail?.reader, follow, wakeUp) { return }
        }
    }

    /// Nil when the object isn't what its row says, which is corrected.
    private func open(_ placement: BlobPlacement) async throws -> (any BlobReader)? {
        do {
            return try storage.open(placement)
        } catch let error as BlobStorageError where error.isLoss {
            logger.error("stored blob is lost", metadata: ["digest": "\(placement.digest)", "error": "\(error)"])
            try await blobs.unplace(placement, on: client)
            return nil
        }
    }

    /// Of two manifests that declare different sizes for a digest, at most one is right.
    private static func check(_ size: Int64, of fetch: BlobFetch) throws {
        guard size != fetch.sizeBytes else { return }
        throw FetchFailure(
            .badContent,
            "blob \(fetch.digest) has \(size) bytes, the manifest says \(fetch.sizeBytes)"
        )
    }

    /// Reads the truth: the blob's row, or why there will be none.
    private func look(_ follow: BlobFollow, _ job: JobID) async throws -> BlobState? {
        guard let status = try await queue.statuses(of: [job], on: client).first, !status.state.isFinal else {
            return try await settled(follow, job)
        }
        return try await blobs.state(of: follow.fetch.digest, on: client)
    }

    private func settled(_ follow: BlobFollow, _ job: JobID) async throws -> BlobState? {
        let state = try await blobs.state(of: follow.fetch.digest, on: client)
        if state?.placement != nil { return state }
        guard let status = try await queue.statuses(of: [job], on: client).first, status.state == .discarded,
            let result = status.result
        else { throw AskAgain() }
        // Somebody else's job for this digest failed with their upstream, their rights or their manifest's size.
        guard try JSONText.decode(BlobFetch.self, status.payload) == follow.fetch else { throw AskAgain() }
        let verdict = try JSONText.decode(FetchVerdict<String>.self, result)
        throw verdict.failure ?? FetchFailure(.cache, "job \(job) ended without a verdict")
    }

    /// Tells readers how far the partial has come until something else has to be looked at.
    /// - Returns: true when it is complete and nothing more is to be told.
    private func tail(_ reader: (any PartialReader)?, _ follow: BlobFollow, _ wakeUp: WakeUp) async throws -> Bool {
        guard let reader else {
            await wakeUp.wait(atMost: configuration.pollInterval)
            return false
        }
        let clock = ContinuousClock()
        let nextLook = clock.now + configuration.pollInterval
        var last: PartialProgress?
        repeat {
            let progress = try reader.progress()
            if progress.isVerified { try Self.check(progress.storedBytes, of: follow.fetch) }
            if progress != last, progress.storedBytes > 0 || progress.isVerified {
                follow.arriving(reader, progress)
                last = progress
            }
            if progress.isVerified { return true }
            if await wakeUp.wait(atMost: configuration.tailInterval) { return false }
            try Task.checkCancellation()
        } while follow.hasReaders && clock.now < nextLook
        return false
    }
}

/// One client's hold on a follow; letting go of it is leaving.
package final class BlobFollowHandle: Sendable {
    package let follow: BlobFollow
    private let follower: BlobFollower

    fileprivate init(follow: BlobFollow, follower: BlobFollower) {
        self.follow = follow
        self.follower = follower
    }

    deinit { follower.leave(follow) }
}
