// SPDX-License-Identifier: Apache-2.0

package import Jobs
package import Logging
import Metrics
package import Models
package import Postgres
import ServiceLifecycle
import Synchronization
import Waiting

/// Asks the fetchers for manifests and lists, and waits for their verdicts.
///
/// Asks for the same thing at the same time are one ask: within the process here, between processes by the job's unique
/// key. An ask belongs to this service and not to the client whose request made it: clients may leave.
package final class FetchDesk: Service {
    private struct Key: Hashable {
        let kind: JobKind
        let uniqueKey: String
    }

    private struct Ask: Sendable {
        let key: Key
        let queue: JobQueueName
        let enqueue: @Sendable () async throws -> JobID
        let outcome: SharedOutcome<JobStatus>
    }

    /// How often a job is looked at when nothing was notified.
    private static let pollInterval: Duration = .milliseconds(500)

    private let client: PostgresClient
    private let notifier: JobNotifier
    private let hub: ChangeHub
    private let deadline: Duration
    private let logger: Logger
    private let queue = JobQueue()
    private let waits = Dictionary(
        uniqueKeysWithValues: [JobKind.manifestFetch, .listFetch].map {
            ($0, Timer(label: "entrepot_fetch_wait_seconds", dimensions: [("kind", $0.rawValue)]))
        }
    )
    private let open = Mutex<[Key: SharedOutcome<JobStatus>]>([:])
    private let asks: AsyncStream<Ask>
    private let submit: AsyncStream<Ask>.Continuation

    /// - Parameter deadline: how long a client waits for a verdict
    package init(client: PostgresClient, notifier: JobNotifier, hub: ChangeHub, deadline: Duration, logger: Logger) {
        self.client = client
        self.notifier = notifier
        self.hub = hub
        self.deadline = deadline
        self.logger = logger
        (asks, submit) = AsyncStream.makeStream()
    }

    /// Runs until cancelled. A graceful shutdown doesn't end it: clients that are being served need it to the end.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            for await ask in asks {
                group.addTask { [self] in await perform(ask) }
            }
            group.cancelAll()
        }
    }

    /// Waits for the fetchers' verdict.
    /// - Throws: ``FetchFailure``; `CancellationError` when the caller's task is cancelled.
    package func fetch<Fetch: FetchPayload>(_ fetch: Fetch) async throws -> Fetch.Success {
        let key = Key(kind: Fetch.kind, uniqueKey: fetch.uniqueKey)
        let start = ContinuousClock.now
        defer { waits[Fetch.kind]?.record(duration: ContinuousClock.now - start) }
        let (outcome, isNew) = open.withLock { open in
            if let outcome = open[key] { return (outcome, false) }
            let outcome = SharedOutcome<JobStatus>()
            open[key] = outcome
            return (outcome, true)
        }
        if isNew {
            let request = RequestID.current
            let enqueue: @Sendable () async throws -> JobID = { [queue, client] in
                try await RequestID.$current.withValue(request) { try await queue.enqueue(fetch, on: client) }
            }
            submit.yield(Ask(key: key, queue: Fetch.queue, enqueue: enqueue, outcome: outcome))
        }
        return try await outcome.value().success()
    }

    private func perform(_ ask: Ask) async {
        let result: Result<JobStatus, any Error>
        do {
            result = .success(try await withDeadline(deadline) { [self] in try await end(of: ask) })
        } catch is DeadlineExceeded {
            result = .failure(
                FetchFailure(.timeout, "no fetcher had an answer for \(ask.key.uniqueKey) within \(deadline)")
            )
        } catch is CancellationError {
            result = .failure(FetchFailure(.cache, "this frontend is shutting down"))
        } catch {
            result = .failure(error)
        }
        // Taken out first: who comes now begins a new ask instead of getting an answer that is older than the question.
        open.withLock { $0[ask.key] = nil }
        ask.outcome.resolve(result)
    }

    private func end(of ask: Ask) async throws -> JobStatus {
        let job = try await ask.enqueue()
        let wakeUp = WakeUp()
        hub.add(wakeUp, for: .job(job))
        defer { hub.remove(wakeUp, for: .job(job)) }
        await notifier.jobsAvailable(ask.queue)
        // The job may have ended before the wake-up was added, so the first look comes early.
        var patience: Duration = .milliseconds(20)
        while true {
            await wakeUp.wait(atMost: patience)
            try Task.checkCancellation()
            patience = Self.pollInterval
            guard let status = try await queue.statuses(of: [job], on: client).first else {
                throw FetchFailure(.cache, "job \(job) was removed before its verdict was read")
            }
            if status.state.isFinal { return status }
        }
    }
}
