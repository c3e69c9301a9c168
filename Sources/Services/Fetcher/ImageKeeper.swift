// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import OCI
import Postgres

/// A verified manifest that is to be stored.
struct FetchedImage: Sendable {
    let document: ManifestDocument
    let bytes: [UInt8]
    let digest: Digest
    let fetch: ManifestFetch
    let config: ProxyCacheConfig
    /// How long it waits for room; nil when limits aren't kept.
    let quotaPatience: Duration?
}

/// Stores manifests: within the organization's limit, with everything that follows, in one transaction with the end of the
/// job.
struct ImageKeeper: Sendable {
    private struct NoRoomYet: Error {}

    /// How storing goes on once it is decided.
    private struct Course {
        var keeping: ManifestStore.Keeping
        var isOversized = false
        var isPruningLeft = false
        var pruned = 0
        /// It was complete when it came, and waits for the scanner.
        var isScanned = false
    }

    private static let pause: Duration = .milliseconds(100)
    private static let lockTimeout = "10s"

    private let client: PostgresClient
    private let notifier: JobNotifier
    private let fill: BackgroundFill
    private let logger: Logger
    private let usage = UsageStore()
    private let admission = AdmissionStore()
    private let pruning = PruneStore()
    private let organizations = OrganizationStore()
    private let manifests = ManifestStore()
    private let tags = TagStore()
    private let scans = ScanStore()
    private let queue = JobQueue()

    init(client: PostgresClient, notifier: JobNotifier, fill: BackgroundFill, logger: Logger) {
        self.client = client
        self.notifier = notifier
        self.fill = fill
        self.logger = logger
    }

    /// Stores the image. While others that are arriving hold the room that it needs, it waits for as long as it may, and is
    /// stored over the limit then: the pruner catches up.
    /// - Throws: ``FetchFailure`` `quotaExceeded`
    func keep(_ image: FetchedImage, for job: ClaimedJob) async throws -> ManifestFetched {
        let clock = ContinuousClock()
        let deadline = clock.now + (image.quotaPatience ?? .zero)
        while true {
            do {
                return try await store(image, job, isLastTry: clock.now >= deadline)
            } catch is NoRoomYet {
                try await Task.sleep(for: Self.pause)
            }
        }
    }

    private func store(_ image: FetchedImage, _ job: ClaimedJob, isLastTry: Bool) async throws -> ManifestFetched {
        let fetch = image.fetch
        let fetched = ManifestFetched(digest: image.digest, isNew: true)
        let course = try await client.withTransaction { transaction in
            try await transaction.query("SET LOCAL lock_timeout = \(unescaped: "'\(Self.lockTimeout)'")")
            try await usage.lock(fetch.organization, on: transaction)
            var course = Course(keeping: .hold)
            if case .tag(let tag) = fetch.reference {
                course.keeping = .tag
                try await tags.endLifetime(
                    of: tag,
                    unlessOf: image.digest,
                    repository: fetch.repository,
                    organization: fetch.organization,
                    on: transaction
                )
            }
            if image.quotaPatience != nil {
                course = try await admit(image, course, isLastTry: isLastTry, on: transaction)
            }
            let (repository, manifest) = try await manifests.store(
                image.document,
                bytes: image.bytes,
                digest: image.digest,
                repository: fetch.repository,
                organization: fetch.organization,
                keeping: course.keeping,
                isOversized: course.isOversized,
                on: transaction
            )
            if case .tag(let tag) = fetch.reference, course.keeping == .tag {
                try await tags.point(
                    tag,
                    at: manifest,
                    repository: repository,
                    expiration: image.config.expiration,
                    on: transaction
                )
            }
            if course.isPruningLeft {
                _ = try await queue.enqueue(PruneToLimit(organization: fetch.organization), on: transaction)
            }
            if course.keeping != .bypass {
                try await fill.enqueue(
                    for: image.document,
                    manifest: manifest,
                    fetch,
                    image.config,
                    on: transaction
                )
                course.isScanned = try await scans.queueIfComplete(manifest, on: transaction)
            }
            try await queue.complete(
                job.lease,
                result: JSONText.encode(FetchVerdict(success: fetched)),
                on: transaction
            )
            return course
        }
        if course.isScanned { await notifier.jobsAvailable(.scans) }
        if course.pruned > 0 || course.isOversized || course.isPruningLeft || course.keeping == .bypass {
            logger.notice(
                "room made or wanted",
                metadata: [
                    "reference": "\(fetch.uniqueKey)", "pruned": "\(course.pruned)", "keeping": "\(course.keeping)",
                    "oversized": "\(course.isOversized)", "over": "\(course.isPruningLeft)",
                ]
            )
        }
        return fetched
    }

    private func admit(
        _ image: FetchedImage,
        _ course: Course,
        isLastTry: Bool,
        on transaction: some Queryable
    ) async throws -> Course {
        var course = course
        let request = AdmissionStore.Request(
            organization: image.fetch.organization,
            repository: image.fetch.repository,
            digest: image.digest,
            document: image.document,
            manifestBytes: image.bytes.count
        )
        let decision = try await admission.decide(request, on: transaction)
        switch decision.admission {
        case .fits:
            break
        case .prune(let victims):
            try await pruning.end(victims, on: transaction)
            course.pruned = victims.count
        case .later:
            guard isLastTry else { throw NoRoomYet() }
            course.isPruningLeft = true
        case .rejected(let percent):
            throw try await refusal(image, decision, "usage has reached \(percent) % of it", on: transaction)
        case .cannotFit:
            switch image.config.oversized {
            case .overflow: course.isOversized = true
            case .bypass: course.keeping = .bypass
            case .reject: throw try await refusal(image, decision, "there is no room for it", on: transaction)
            }
        }
        return course
    }

    private func refusal(
        _ image: FetchedImage,
        _ decision: AdmissionStore.Decision,
        _ reason: String,
        on db: some Queryable
    ) async throws -> FetchFailure {
        let name = try await organizations.find(image.fetch.organization, on: db)?.name.rawValue ?? "?"
        return FetchFailure(
            .quotaExceeded,
            "quota of organization \(name) exceeded: its limit is \(decision.quota?.limitBytes ?? 0) bytes, "
                + "\(decision.usage.liveBytes) are used, the image has \(decision.sizeBytes) bytes, and \(reason)"
        )
    }
}
