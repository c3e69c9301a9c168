// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import Postgres
import ServiceLifecycle
import TestSupport
import Waiting

/// A handler that is a closure.
struct TestHandler: JobHandler {
    let kind = JobKind.manifestFetch
    let body: @Sendable (ClaimedJob) async throws -> JobOutcome

    init(_ body: @escaping @Sendable (ClaimedJob) async throws -> JobOutcome) { self.body = body }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome { try await body(job) }
}

/// Returns, inside a handler, when the shutdown of its processor has begun.
func untilShutdown() async throws { try await gracefulShutdown() }

extension TestQueue {
    /// A processor of the tests' queue with its wake-up. It looks at the table often, unless told otherwise.
    func processor(
        slots: Int = 4,
        worker: String = "worker",
        client: PostgresClient? = nil,
        adjust: (inout JobProcessor.Configuration) -> Void = { _ in },
        _ body: @escaping @Sendable (ClaimedJob) async throws -> JobOutcome
    ) -> (processor: JobProcessor, wakeUp: WakeUp) {
        var configuration = JobProcessor.Configuration(queue: .manifests, slots: slots)
        configuration.pollInterval = .milliseconds(20)
        configuration.lease = .seconds(60)
        adjust(&configuration)
        let client = client ?? self.client
        let wakeUp = WakeUp()
        let processor = JobProcessor(
            configuration,
            worker: worker,
            handlers: [TestHandler(body)],
            client: client,
            notifier: JobNotifier(client: client, logger: Self.logger),
            wakeUp: wakeUp,
            logger: Self.logger
        )
        return (processor, wakeUp)
    }

    /// Runs the processors for the time of `body`, then cancels them.
    func running(_ processors: JobProcessor..., body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for processor in processors { group.addTask { try await processor.run() } }
            try await body()
            group.cancelAll()
        }
    }

    /// Runs a processor for the time of `body`, then shuts it down and returns when it has ended.
    func runningUntilShutdown(_ processor: JobProcessor, body: () async throws -> Void) async throws {
        let services = ServiceGroup(services: [processor], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            try await body()
            await services.triggerGracefulShutdown()
            try await group.waitForAll()
        }
    }

    /// Waits until the job's row is in the state.
    func untilState(_ state: JobState, of job: JobID) async throws {
        try await eventually("job \(job) is \(state)") { try await row(job).state == state }
    }
}
