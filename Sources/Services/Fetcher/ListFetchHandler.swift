// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import Postgres
import Upstream

/// Brings a list and writes it down with the end of the job. Doing it twice stores the same rows.
struct ListFetchHandler: JobHandler {
    let kind = JobKind.listFetch

    private let client: PostgresClient
    private let upstream: UpstreamClient
    private let notifier: JobNotifier
    private let logger: Logger
    private let organizations = OrganizationStore()
    private let lists = ListStore()
    private let queue = JobQueue()

    init(client: PostgresClient, upstream: UpstreamClient, notifier: JobNotifier, logger: Logger) {
        self.client = client
        self.upstream = upstream
        self.notifier = notifier
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let fetch = try JSONText.decode(ListFetch.self, job.payload)
        do {
            let fetched = try await bring(fetch, job)
            logger.info(
                "list fetched",
                metadata: [
                    "job.id": "\(job.lease.job)", "reference": "\(fetch.uniqueKey)", "count": "\(fetched.count)",
                ]
            )
            return .finished
        } catch let failure as FetchFailure {
            let result = JSONText.encode(FetchVerdict<ListFetched>(failure: failure))
            // An answer like any other, which is good for a while.
            if failure.cause == .notFound { return .complete(result: result) }
            logger.warning(
                "list not fetched",
                metadata: [
                    "job.id": "\(job.lease.job)", "reference": "\(fetch.uniqueKey)", "cause": "\(failure.cause)",
                    "reason": "\(failure)",
                ]
            )
            return FillPolicy.outcome(of: job, failure, result: result)
        }
    }

    private func bring(_ fetch: ListFetch, _ job: ClaimedJob) async throws -> ListFetched {
        let (repository, config) = try await UpstreamRepository.find(
            organization: fetch.organization,
            repository: fetch.repository,
            organizations,
            on: client
        )
        switch fetch.list {
        case .tags:
            let names = try await upstream.tags(in: repository)
            return try await complete(job, count: names.count) { transaction in
                try await lists.storeTags(
                    names,
                    of: fetch.repository,
                    organization: fetch.organization,
                    generation: config.generation,
                    on: transaction
                )
            }
        case .referrers(let subject):
            let descriptors = try await upstream.referrers(of: subject, in: repository)
            return try await complete(job, count: descriptors.count) { transaction in
                try await lists.storeReferrers(
                    descriptors,
                    of: subject,
                    repository: fetch.repository,
                    organization: fetch.organization,
                    generation: config.generation,
                    on: transaction
                )
            }
        }
    }

    private func complete(
        _ job: ClaimedJob,
        count: Int,
        storing store: (Connection) async throws -> Void
    ) async throws -> ListFetched {
        let fetched = ListFetched(count: count)
        try await client.withTransaction { transaction in
            try await store(transaction)
            try await queue.complete(
                job.lease,
                result: JSONText.encode(FetchVerdict(success: fetched)),
                on: transaction
            )
        }
        return fetched
    }
}
