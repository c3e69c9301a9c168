// SPDX-License-Identifier: Apache-2.0

package import Jobs
package import Logging
import Metrics
package import Models
package import Postgres
import ServiceLifecycle
import Synchronization
import Tracing
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
        /// Finds the verdict in a job that has ended.
        let read: @Sendable (JobStatus) throws -> any Sendable
        let outcome: SharedOutcome<any Sendable>
    }

    /// How often a job is looked at when nothing was notified.
    private static let pollInterval: Duration = .milliseconds(500)

    private let client: PostgresClient
    private let notifier: JobNotifier
    private let hub: ChangeHub
    private let deadline: Duration
    private let patience: Duration
    private let logger: Logger
    private let queue = JobQueue()
    private let waits = Dictionary(
        uniqueKeysWithValues: [JobKind.manifestFetch, .listFetch].map {
            ($0, Timer(label: "entrepot_fetch_wait_seconds", dimensions: [("kind", $0.rawValue)]))
        }
    )
    private let open = Mutex<[Key: SharedOutcome<any Sendable>]>([:])
    private let asks: AsyncStream<Ask>
    private let submit: AsyncStream<Ask>.Continuation

    /// - Parameters:
    ///   - deadline: how long a client waits for a verdict
    ///   - patience: how old an ask may be when who has something else to serve doesn't wait for it any longer
    package init(
        client: PostgresClient,
        notifier: JobNotifier,
        hub: ChangeHub,
        deadline: Duration,
        patience: Duration = .seconds(5),
        logger: Logger
    ) {
        self.client = client
        self.notifier = notifier
        self.hub = hub
        self.deadline = deadline
        self.patience = patience
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
    /// - Parameter isPatient: whether to wait for it to the end, as who has nothing else to serve does
    /// - Throws: ``FetchFailure``; `DeadlineExceeded` for who isn't patient; `CancellationError` when the caller's task is
    ///   cancelled
    package func fetch<Fetch: FetchPayload>(_ fetch: Fetch, isPatient: Bool = true) async throws -> Fetch.Success {
        let key = Key(kind: Fetch.kind, uniqueKey: fetch.uniqueKey)
        let start = ContinuousClock.now
        defer { waits[Fetch.kind]?.record(duration: ContinuousClock.now - start) }
        let (outcome, isNew) = open.withLock { open in
            if let outcome = open[key] { return (outcome, false) }
            let outcome = SharedOutcome<any Sendable>()
            open[key] = outcome
            return (outcome, true)
        }
        if isNew {
            let context = ServiceContext.current
            let enqueue: @Sendable () async throws -> JobID = { [queue, client] in
                try await ServiceContext.withValue(context) { try await queue.enqueue(fetch, on: client) }
            }
            // Read once for all who wait.
            let read: @Sendable (JobStatus) throws -> any Sendable = { try $0.success(Fetch.Success.self) }
            submit.yield(Ask(key: key, queue: Fetch.queue, enqueue: enqueue, read: read, outcome: outcome))
        }
        guard let success = try await outcome.value(isPatient: isPatient) as? Fetch.Success else {
            preconditionFailure("jobs of a kind have verdicts of one type")
        }
        return success
    }

    private func perform(_ ask: Ask) async {
        async let _: Void = remind(ask)
        let result: Result<any Sendable, any Error>
        do {
            let status = try await withDeadline(deadline) { [self] in try await end(of: ask) }
            result = .success(try ask.read(status))
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

    /// One clock for all who wait.
    private func remind(_ ask: Ask) async {
        do { try await pause(for: patience) } catch { return }  // answered in time
        ask.outcome.isLate(DeadlineExceeded(duration: patience))
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
