// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport

/// A queue of the test's own, in a database of its own: a claim takes whatever is there.
struct TestQueue: Sendable {
    let configuration: PostgresConfiguration
    let client: PostgresClient
    let organization: OrganizationID
    let queue = JobQueue()

    static var logger: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    static func with<Result>(_ body: (TestQueue) async throws -> Result) async throws -> Result {
        let configuration = PostgresConfiguration.patient(
            try await PostgresCluster.shared().makeMigratedDatabase(),
            maximumConnections: 8
        )
        return try await withClient(configuration) { client in
            let organization = try await makeOrganization("first", on: client)
            return try await body(
                TestQueue(configuration: configuration, client: client, organization: organization)
            )
        }
    }

    private static func withClient<Result>(
        _ configuration: PostgresConfiguration,
        _ body: (PostgresClient) async throws -> Result
    ) async throws -> Result {
        let client = PostgresClient(configuration, logger: logger)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    static func makeOrganization(_ name: String, on client: PostgresClient) async throws -> OrganizationID {
        let id = try await client.query("INSERT INTO organization (name) VALUES (\(name)) RETURNING id")
            .decodeFirst(Int64.self)
        guard let id else { throw TestSupportError("no organization was made") }
        return OrganizationID(rawValue: id)
    }

    /// The fetch that the tests queue: all are alike but for the tag.
    func fetch(_ tag: String = "latest", for organization: OrganizationID? = nil) throws -> ManifestFetch {
        ManifestFetch(
            organization: organization ?? self.organization,
            config: .sample,
            repository: try RepositoryName("library/alpine"),
            reference: .tag(try TagName(tag))
        )
    }

    @discardableResult
    func enqueue(
        _ tag: String = "latest",
        for organization: OrganizationID? = nil,
        priority: Int = 1,
        maxAttempts: Int = 3
    ) async throws -> JobID {
        try await queue.enqueue(
            fetch(tag, for: organization),
            priority: priority,
            maxAttempts: maxAttempts,
            on: client
        )
    }

    func claim(
        upTo limit: Int = 10,
        by worker: String = "worker",
        lease: Duration = .seconds(600),
        ownerShare: Int? = nil
    ) async throws -> [ClaimedJob] {
        try await queue.claim(
            .manifests,
            kinds: [.manifestFetch],
            limit: limit,
            worker: worker,
            lease: lease,
            ownerShare: ownerShare,
            on: client
        ).jobs
    }

    /// Claims the only job there is.
    func claimOne(by worker: String = "worker") async throws -> ClaimedJob {
        let claimed = try await claim(by: worker)
        guard claimed.count == 1, let job = claimed.first else {
            throw TestSupportError("\(claimed.count) jobs could be claimed, not one")
        }
        return job
    }

    /// Lets the lease run out, as if its worker had been silent for long.
    func lapse(_ job: JobID) async throws {
        try await client.query(
            """
            UPDATE job SET lease_expires_at = now() - interval '1 second'
            WHERE id = \(job.rawValue) AND state = 'running'
            """
        )
    }

    /// Lets the time come at which the job may be tried again.
    func makeDue(_ job: JobID) async throws {
        try await client.query("UPDATE job SET scheduled_at = now() WHERE id = \(job.rawValue)")
    }

    @discardableResult
    func rescue() async throws -> [RescuedJob] {
        try await queue.rescue(lapsedResult: #"{"lapsed":true}"#, on: client)
    }

    func row(_ job: JobID) async throws -> JobRow {
        let row = try await client.query(
            """
            SELECT state::text, attempt, lapses, priority, attempted_by, result::text,
                coalesce((SELECT string_agg(e->>'message', '|') FROM jsonb_array_elements(errors) AS e), '')
            FROM job WHERE id = \(job.rawValue)
            """
        ).decodeFirst((String, Int, Int, Int, String?, String?, String).self)
        guard let row, let state = JobState(rawValue: row.0) else { throw TestSupportError("job \(job) is gone") }
        return JobRow(
            state: state,
            attempt: row.1,
            lapses: row.2,
            priority: row.3,
            worker: row.4,
            result: row.5,
            errors: row.6.split(separator: "|").map(String.init)
        )
    }

    /// Returns when the client's connections have looked for jobs in vain: the table isn't there.
    func untilItHasFailed(_ client: String) async throws {
        try await eventually("it has failed") {
            try await count(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = \(client) AND state = 'idle'
                    AND query LIKE '%FROM job%'
                """
            ) > 0
        }
    }

    /// Gives `body` a client of its own with this name.
    func withOwnClient(_ name: String, _ body: (PostgresClient) async throws -> Void) async throws {
        var configuration = configuration
        configuration.applicationName = name
        try await Self.withClient(configuration, body)
    }

    func count(_ query: Query) async throws -> Int {
        let count: Int? = try await client.query(query).decodeFirst(Int.self)
        return count ?? 0
    }
}

/// What the tests look at in a job's row.
struct JobRow: Hashable, Sendable {
    let state: JobState
    let attempt: Int
    let lapses: Int
    let priority: Int
    let worker: String?
    let result: String?
    let errors: [String]
}

/// The code of the error that `body` throws, or nil.
func queueError(_ body: () async throws -> Void) async throws -> JobQueueError.Code? {
    do {
        try await body()
        return nil
    } catch let error as JobQueueError {
        return error.code
    }
}

/// Runs `body` while the channels are listened to; it gets payloads in the order of their commits.
func listening(
    to channels: [JobNotifier.Channel],
    _ configuration: PostgresConfiguration,
    _ body: (inout Heard) async throws -> Void
) async throws {
    let (events, feed) = AsyncStream<ListenerEvent>.makeStream()
    let listener = NotificationListener(
        configuration,
        channels: channels.map(\.rawValue),
        logger: TestQueue.logger
    ) { feed.yield($0) }
    var heard = Heard(events: events.makeAsyncIterator())
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await listener.run() }
        guard case .connected = await heard.events.next(isolation: #isolation) else {
            throw TestSupportError("the listener doesn't listen")
        }
        try await body(&heard)
        group.cancelAll()
    }
}

/// What was notified.
struct Heard {
    fileprivate var events: AsyncStream<ListenerEvent>.Iterator

    mutating func next() async throws -> (channel: JobNotifier.Channel, payload: String) {
        while let event = await events.next(isolation: #isolation) {
            if case .notification(let name, let payload) = event, let channel = JobNotifier.Channel(rawValue: name) {
                return (channel, payload)
            }
        }
        throw TestSupportError("the listener has ended")
    }
}
