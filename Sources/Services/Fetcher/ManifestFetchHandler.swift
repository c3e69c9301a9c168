// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import OCI
import Postgres
import Upstream

/// Resolves a tag or fetches a manifest, and writes everything that follows from it in one transaction with the end of
/// the job. Doing it twice stores the same rows.
struct ManifestFetchHandler: JobHandler {
    let kind = JobKind.manifestFetch

    private let client: PostgresClient
    private let upstream: UpstreamClient
    private let notifier: JobNotifier
    private let keeper: ImageKeeper
    private let quotaPatience: Duration?
    private let logger: Logger
    private let organizations = OrganizationStore()
    private let tags = TagStore()
    private let queue = JobQueue()
    /// A client waits: a short second look at an upstream that stumbled, no more.
    private let retry = RetryPolicy(base: .milliseconds(150), cap: .milliseconds(600))
    private let tries = 3

    /// - Parameter quotaPatience: how long an image waits for room; nil when limits aren't kept
    init(
        client: PostgresClient,
        upstream: UpstreamClient,
        notifier: JobNotifier,
        fill: BackgroundFill,
        quotaPatience: Duration?,
        logger: Logger
    ) {
        self.client = client
        self.upstream = upstream
        self.notifier = notifier
        self.quotaPatience = quotaPatience
        keeper = ImageKeeper(client: client, notifier: notifier, fill: fill, logger: logger)
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let fetch = try JSONText.decode(ManifestFetch.self, job.payload)
        do {
            let fetched = try await resolve(fetch, job)
            logger.info(
                "manifest fetched",
                metadata: [
                    "job.id": "\(job.lease.job)", "reference": "\(fetch.uniqueKey)", "digest": "\(fetched.digest)",
                    "new": "\(fetched.isNew)",
                ]
            )
            return .finished
        } catch let failure as FetchFailure where failure.cause == .notFound {
            // An answer like any other, which is good for a while.
            return .complete(result: JSONText.encode(FetchVerdict<ManifestFetched>(failure: failure)))
        } catch let failure as FetchFailure {
            logger.warning(
                "manifest not fetched",
                metadata: [
                    "job.id": "\(job.lease.job)", "reference": "\(fetch.uniqueKey)", "cause": "\(failure.cause)",
                    "reason": "\(failure)",
                ]
            )
            let result = JSONText.encode(FetchVerdict<ManifestFetched>(failure: failure))
            return FillPolicy.outcome(of: job, failure, result: result)
        }
    }

    private func resolve(_ fetch: ManifestFetch, _ job: ClaimedJob) async throws -> ManifestFetched {
        // A client waits: both are looked up at once.
        async let known = cached(fetch)
        let (repository, config) = try await UpstreamRepository.find(
            organization: fetch.organization,
            repository: fetch.repository,
            organizations,
            on: client
        )
        guard case .tag = fetch.reference, let known = try await known else {
            // Nothing to compare with: one GET tells everything.
            return try await fetchAndStore(fetch.reference, fetch, repository, config, job, tries: tries)
        }
        // A cached copy can stand in, so upstream gets one chance only.
        let current = try await upstream.head(fetch.reference, in: repository)
        if current == known.digest, try await confirm(known, config, job) {
            return ManifestFetched(digest: known.digest, isNew: false)
        }
        // By the digest that HEAD told, so that a tag that moves meanwhile can't be half of one and half of the other.
        let reference = current.map(Reference.digest) ?? fetch.reference
        return try await fetchAndStore(reference, fetch, repository, config, job, tries: 1)
    }

    /// What the tag named when it was last looked at.
    private func cached(_ fetch: ManifestFetch) async throws -> TagRecord? {
        guard case .tag(let tag) = fetch.reference else { return nil }
        return try await tags.find(
            tag,
            repository: fetch.repository,
            organization: fetch.organization,
            scope: .latest,
            on: client
        )
    }

    private func confirm(_ tag: TagRecord, _ config: ProxyCacheConfig, _ job: ClaimedJob) async throws -> Bool {
        let result = FetchVerdict(success: ManifestFetched(digest: tag.digest, isNew: false))
        return try await queue.complete(
            job.lease,
            result: JSONText.encode(result),
            with: tags.confirmation(of: tag.id, expiration: config.expiration),
            on: client
        )
    }

    private func fetchAndStore(
        _ reference: Reference,
        _ fetch: ManifestFetch,
        _ repository: UpstreamRepository,
        _ config: ProxyCacheConfig,
        _ job: ClaimedJob,
        tries: Int
    ) async throws -> ManifestFetched {
        var manifest = try await get(reference, repository, tries: tries)
        let (digest, document): (Digest, ManifestDocument)
        do {
            (digest, document) = try Self.verify(manifest, reference, repository)
        } catch let failure as FetchFailure where failure.cause == .badContent {
            // Once more, at once: the fault may have been on the way.
            logger.warning("manifest is wrong", metadata: ["reason": "\(failure)"])
            manifest = try await get(reference, repository, tries: 1)
            (digest, document) = try Self.verify(manifest, reference, repository)
        }
        let image = FetchedImage(
            document: document,
            bytes: manifest.bytes,
            digest: digest,
            fetch: fetch,
            config: config,
            quotaPatience: quotaPatience
        )
        return try await keeper.keep(image, for: job)
    }

    private func get(
        _ reference: Reference,
        _ repository: UpstreamRepository,
        tries: Int
    ) async throws -> UpstreamManifest {
        var failures = 0
        while true {
            do {
                return try await upstream.manifest(reference, in: repository)
            } catch let failure as FetchFailure where failure.isTemporary && failures + 1 < tries {
                failures += 1
                logger.debug("trying again", metadata: ["reason": "\(failure)"])
                try await Task.sleep(for: retry.delay(afterFailures: failures))
            }
        }
    }

    /// Checks what upstream sent: bytes against the digest that was asked for, or for a tag against the one that upstream
    /// says it sends, and bytes against the manifest rules.
    static func verify(
        _ manifest: UpstreamManifest,
        _ reference: Reference,
        _ repository: UpstreamRepository
    ) throws -> (Digest, ManifestDocument) {
        let document: ManifestDocument
        do {
            document = try ManifestDocument(bytes: manifest.bytes, contentType: manifest.contentType)
        } catch {
            let cause: FetchFailure.Cause = error.code == .unsupportedManifest ? .unsupported : .badContent
            throw FetchFailure(cause, "upstream \(repository) sent for \(reference): \(error.message)")
        }
        switch reference {
        case .digest(let wanted):
            guard Digest.of(manifest.bytes, algorithm: wanted.algorithm) == wanted else {
                throw FetchFailure(.badContent, "upstream \(repository) sent other bytes than manifest \(wanted)")
            }
            return (wanted, document)
        case .tag(let tag):
            let digest = Digest.of(manifest.bytes, algorithm: manifest.claimedDigest?.algorithm ?? .sha256)
            if let claimed = manifest.claimedDigest, claimed != digest {
                throw FetchFailure(
                    .badContent,
                    "upstream \(repository) sent other bytes for \(tag) than those of \(claimed), which it names"
                )
            }
            return (digest, document)
        }
    }
}
