// SPDX-License-Identifier: Apache-2.0

package import Logging
package import Models
package import Postgres
import ServiceLifecycle
import Synchronization
import Tracing
package import Waiting

/// Claims jobs of one queue and runs their handlers, a bounded number at once. At shutdown it stops claiming, lets
/// running jobs finish for a while, and hands the rest back.
package struct JobProcessor: Service {
    package struct Configuration: Sendable {
        package var queue: JobQueueName
        /// Jobs that run at once in this process.
        package var slots: Int
        package var lease: Duration = .seconds(5)
        /// How often the table is looked at when nothing was notified.
        package var pollInterval: Duration = .seconds(1)
        /// Bytes of blobs that may be on their way for one organization, in all workers; nil for no limit.
        package var bytesInFlight: Int64?
        /// How long running jobs may go on after a shutdown began.
        package var shutdownGrace: Duration = .seconds(5)

        package init(queue: JobQueueName, slots: Int) {
            self.queue = queue
            self.slots = slots
        }

        /// Slots that the jobs of one organization may take: all but a quarter, which others' jobs find free however long
        /// those take.
        var ownerShare: Int { slots - slots / 4 }
    }

    private let configuration: Configuration
    private let worker: String
    private let handlers: [JobKind: any JobHandler]
    private let client: PostgresClient
    /// For heartbeats: a worker whose connections all wait for something still has its jobs.
    private let pulse: PostgresClient
    private let notifier: JobNotifier
    private let wakeUp: WakeUp
    private let logger: Logger
    private let queue = JobQueue()
    private let running = RunningJobs()
    private let metrics = JobMetrics()

    package init(
        _ configuration: Configuration,
        worker: String,
        handlers: [any JobHandler],
        client: PostgresClient,
        notifier: JobNotifier,
        wakeUp: WakeUp,
        logger: Logger
    ) {
        self.configuration = configuration
        self.worker = worker
        self.handlers = Dictionary(uniqueKeysWithValues: handlers.map { ($0.kind, $0) })
        self.client = client
        pulse = client.separate(connections: 1)
        self.notifier = notifier
        self.wakeUp = wakeUp
        self.logger = logger
    }

    package func run() async throws {
        let isStopping = Atomic(false)
        await withTaskCancellationOrGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await heartbeats() }
                while !isStopping.load(ordering: .acquiring), !Task.isCancelled {
                    running.isEndAwaited = true
                    let free = configuration.slots - running.count
                    let (claimed, isLimited) = await claim(upTo: free)
                    for job in claimed { start(job, in: &group) }
                    // Fewer than there is room for: no others are due.
                    let isAll = claimed.count < free
                    // Then the end of a job makes room for nothing. Of those that come later a hint tells.
                    let isHeldBack = isLimited || running.count >= configuration.ownerShare
                    if isAll, !isHeldBack { running.isEndAwaited = false }
                    if isAll || running.count >= configuration.slots {
                        await wakeUp.wait(atMost: configuration.pollInterval)
                    }
                }
                running.isEndAwaited = true
                await drain()
                group.cancelAll()
            }
            await pulse.close()
            await handBack()
        } onCancelOrGracefulShutdown: {
            isStopping.store(true, ordering: .releasing)
            wakeUp.wake()
        }
    }

    private func claim(upTo limit: Int) async -> (jobs: [ClaimedJob], isHeldBack: Bool) {
        guard limit > 0 else { return ([], true) }
        do {
            return try await queue.claim(
                configuration.queue,
                kinds: Array(handlers.keys),
                limit: limit,
                worker: worker,
                lease: configuration.lease,
                bytesInFlight: configuration.bytesInFlight,
                ownerShare: configuration.ownerShare,
                on: client
            )
        } catch is CancellationError {
            return ([], true)
        } catch {
            logger.warning("jobs can't be claimed", metadata: ["queue": "\(configuration.queue)", "error": "\(error)"])
            return ([], true)
        }
    }

    private func start(_ job: ClaimedJob, in group: inout DiscardingTaskGroup) {
        let isLost = running.add(job.lease)
        group.addTask {
            // The work is a group of its own, so that a lost lease ends this job and no other.
            let isOver = await withTaskGroup(of: Bool.self) { work in
                work.addTask {
                    await withSpan("job \(job.kind.rawValue)", context: job.context, ofKind: .consumer) { span in
                        await perform(job, span)
                    }
                }
                work.addTask {
                    await isLost.wait()
                    return isLost.isSet
                }
                let isOver = await work.next() ?? false
                work.cancelAll()
                return isOver
            }
            // What a shutdown interrupted stays listed: it is handed back.
            if isOver { running.remove(job.lease) }
            if running.isEndAwaited { wakeUp.wake() }
        }
    }

    /// Returns false when the job was interrupted by the end of this process.
    private func perform(_ job: ClaimedJob, _ span: any Span) async -> Bool {
        let outcome: JobOutcome
        let start = ContinuousClock.now
        do {
            guard let handler = handlers[job.kind] else {
                throw JobQueueError(.corruptRow, "queue \(configuration.queue) has no handler for \(job.kind)")
            }
            outcome = try await handler.handle(job)
        } catch is CancellationError {
            return false
        } catch let error as JobQueueError where error.code == .leaseLost {
            metrics.lostLeases(1)
            span.setStatus(SpanStatus(code: .error, message: "lease lost"))
            logger.warning("lease lost, result dropped", metadata: ["job.id": "\(job.lease.job)"])
            return true
        } catch {
            outcome = .retry(
                after: RetryPolicy(base: .milliseconds(200), cap: .seconds(30)).delay(afterFailures: job.attempt),
                reason: "\(error)",
                result: Self.failure("the cache failed: \(type(of: error))")
            )
        }
        metrics.ended(job.kind, outcome, after: ContinuousClock.now - start)
        span.tell(job, outcome)
        await settle(job, outcome)
        return true
    }

    /// Writes the outcome down; tried again for a while, since a job that was done needs no second time.
    private func settle(_ job: ClaimedJob, _ outcome: JobOutcome) async {
        for failures in 1...5 {
            do {
                try await write(outcome, of: job)
                await notifier.jobsFinished([job.lease.job])
                return
            } catch is CancellationError {
                return
            } catch let error as JobQueueError {
                logger.warning("outcome dropped", metadata: ["job.id": "\(job.lease.job)", "error": "\(error)"])
                return
            } catch {
                logger.warning("outcome not written", metadata: ["job.id": "\(job.lease.job)", "error": "\(error)"])
                let delay = RetryPolicy(base: .milliseconds(100), cap: .seconds(2)).delay(afterFailures: failures)
                do { try await Task.sleep(for: delay) } catch { return }
            }
        }
    }

    private func write(_ outcome: JobOutcome, of job: ClaimedJob) async throws {
        switch outcome {
        case .finished:
            break
        case .complete(let result):
            try await queue.complete(job.lease, result: result, on: client)
        case .retry(let delay, let reason, let result):
            logger.warning(
                "job failed",
                metadata: ["job.id": "\(job.lease.job)", "job.kind": "\(job.kind.rawValue)", "reason": "\(reason)"]
            )
            try await queue.fail(
                job.lease,
                reason: reason,
                retryAfter: job.isLastAttempt ? nil : delay,
                result: result,
                on: client
            )
        case .discard(let reason, let result):
            try await queue.fail(job.lease, reason: reason, retryAfter: nil, result: result, on: client)
        }
    }

    /// Keeps the leases of running jobs, and ends the jobs whose lease is lost.
    private func heartbeats() async {
        var missing: Set<JobLease> = []
        while !Task.isCancelled {
            do { try await Task.sleep(for: configuration.lease / 4) } catch { return }
            let leases = running.leases
            guard !leases.isEmpty else { continue }
            do {
                // An extension that a crash of the server undoes would have been too short anyway.
                let held = try await pulse.withTransaction(isDurable: false) { transaction in
                    try await queue.heartbeat(leases, lease: configuration.lease, on: transaction)
                }
                let gone = leases.filter { !held.contains($0) && running.contains($0) }
                // One that is done looks alike until its handler returns.
                let lost = gone.filter(missing.contains)
                missing = Set(gone)
                guard !lost.isEmpty else { continue }
                metrics.lostLeases(lost.count)
                logger.warning("lease lost, work dropped", metadata: ["job.ids": "\(lost.map(\.job))"])
                running.revoke(lost)
            } catch is CancellationError {
                return
            } catch {
                logger.warning("leases not extended", metadata: ["error": "\(error)"])
            }
        }
    }

    private func drain() async {
        let clock = ContinuousClock()
        let deadline = clock.now + configuration.shutdownGrace
        while running.count > 0, clock.now < deadline, !Task.isCancelled {
            await wakeUp.wait(atMost: min(deadline - clock.now, .milliseconds(500)))
        }
    }

    private func handBack() async {
        let leases = running.leases
        guard !leases.isEmpty else { return }
        // Shielded from cancellation: without this their leases would have to lapse first.
        await Task {
            do {
                try await queue.handBack(leases, on: client)
                await notifier.jobsAvailable(configuration.queue)
            } catch {
                logger.warning("jobs not handed back", metadata: ["error": "\(error)"])
            }
        }.value
    }

    /// What those who wait are told when it is the cache itself that failed.
    static func failure(_ message: String) -> String {
        let verdict = FetchVerdict<ManifestFetched>(failure: FetchFailure(.cache, message))
        return JSONText.encode(verdict)
    }
}

extension Span {
    /// What the job was, and what became of it.
    fileprivate func tell(_ job: ClaimedJob, _ outcome: JobOutcome) {
        guard isRecording else { return }
        attributes["entrepot.job.id"] = "\(job.lease.job)"
        attributes["entrepot.job.attempt"] = job.attempt
        attributes["entrepot.request.id"] = job.context.requestID?.rawValue
        switch outcome {
        case .finished, .complete: break
        case .retry(_, let reason, _), .discard(let reason, _): setStatus(SpanStatus(code: .error, message: reason))
        }
    }
}
