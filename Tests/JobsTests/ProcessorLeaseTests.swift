// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import Postgres
import TestSupport
import Testing
import Waiting

@Suite("Processors, their leases and their end", .timeLimit(.minutes(2)))
struct ProcessorLeaseTests {
    private enum Event: Hashable, Sendable {
        case started(JobID)
        case cancelled(JobID)
    }

    /// Notes its start, then works until `mayEnd` is woken; notes when it is cancelled before.
    private func work(_ job: ClaimedJob, _ journal: Journal<Event>, until mayEnd: WakeUp) async throws -> JobOutcome {
        journal.note(.started(job.lease.job))
        await mayEnd.wait(atMost: .seconds(600))
        guard !Task.isCancelled else {
            journal.note(.cancelled(job.lease.job))
            throw CancellationError()
        }
        return .complete(result: "{}")
    }

    private func until(_ event: Event, in journal: Journal<Event>) async throws {
        try await eventually("\(event)") { journal.entries.contains(event) }
    }

    @Test("a lost lease ends its handler, writes nothing, and disturbs no other job")
    func lostLease() async throws {
        try await TestQueue.with { test in
            let lost = try await test.enqueue("lost")
            let kept = try await test.enqueue("kept")
            let journal = Journal<Event>()
            // One for each: a wake-up that somebody waits for isn't remembered for who comes to wait a moment later.
            let (mayKeptEnd, mayThirdEnd) = (WakeUp(), WakeUp())
            let (processor, wakeUp) = test.processor(slots: 3) {
                $0.lease = .milliseconds(200)
            } _: {
                let mayEnd = $0.lease.job == lost ? WakeUp() : $0.lease.job == kept ? mayKeptEnd : mayThirdEnd
                return try await work($0, journal, until: mayEnd)
            }
            try await test.running(processor) {
                for job in [lost, kept] { try await until(.started(job), in: journal) }
                try await test.client.query(
                    """
                    UPDATE job SET lease_token = nextval('job_lease_token'), attempted_by = 'thief',
                        lease_expires_at = now() + interval '1 hour'
                    WHERE id = \(lost.rawValue)
                    """
                )
                try await until(.cancelled(lost), in: journal)
                let third = try await test.enqueue("third")
                wakeUp.wake()
                try await until(.started(third), in: journal)
                #expect(!journal.entries.contains(.cancelled(kept)))
                mayKeptEnd.wake()
                mayThirdEnd.wake()
                for job in [kept, third] { try await test.untilState(.completed, of: job) }
            }
            let row = try await test.row(lost)
            #expect(row.state == .running)
            #expect(row.worker == "thief")
            #expect(row.attempt == 1)
            #expect(row.errors.isEmpty)
            #expect(!journal.entries.contains(.cancelled(kept)))
        }
    }

    @Test("a lease that is missing once, and there when it is extended the next time, ends no handler")
    func missingOnce() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let journal = Journal<Event>()
            let mayEnd = WakeUp()
            let (processor, _) = test.processor(slots: 1) {
                $0.lease = .milliseconds(400)
            } _: {
                try await work($0, journal, until: mayEnd)
            }
            try await test.running(processor) {
                try await until(.started(id), in: journal)
                // With its one slot taken the worker changes the table by extensions alone. The first that finds the lease
                // gone gives it back.
                try await test.client.withTransaction { transaction in
                    try await transaction.query("CREATE TABLE extension (token bigint, is_missed bool)")
                    try await transaction.query(
                        """
                        CREATE FUNCTION give_back() RETURNS trigger LANGUAGE plpgsql AS $$
                        BEGIN
                            IF pg_trigger_depth() = 1 THEN
                                UPDATE job SET lease_token = token FROM extension WHERE NOT is_missed;
                                UPDATE extension SET is_missed = true;
                            END IF;
                            RETURN NULL;
                        END $$
                        """
                    )
                    try await transaction.query(
                        """
                        WITH before AS (SELECT id, lease_token FROM job WHERE id = \(id.rawValue)),
                            taken AS (UPDATE job SET lease_token = nextval('job_lease_token') WHERE id = \(id.rawValue))
                        INSERT INTO extension SELECT lease_token, false FROM before
                        """
                    )
                    try await transaction.query(
                        """
                        CREATE TRIGGER give_back AFTER UPDATE ON job FOR EACH STATEMENT EXECUTE FUNCTION give_back()
                        """
                    )
                }
                try await eventually("an extension has missed it") {
                    try await test.client.query("SELECT 1 FROM extension WHERE is_missed").count == 1
                }
                let end = try await leaseEnd(id, test)
                try await eventually("a later one has extended it") { try await leaseEnd(id, test) != end }
                #expect(!journal.entries.contains(.cancelled(id)))
                mayEnd.wake()
                try await test.untilState(.completed, of: id)
            }
            #expect(!journal.entries.contains(.cancelled(id)))
        }
    }

    @Test("the outcome of a job whose lease is lost is dropped")
    func droppedOutcome() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let next = try await test.enqueue("next", priority: 2)
            let (processor, _) = test.processor(slots: 1) { job in
                if job.lease.job == id {
                    try await test.client.query(
                        """
                        UPDATE job SET lease_token = nextval('job_lease_token'), attempted_by = 'thief'
                        WHERE id = \(id.rawValue)
                        """
                    )
                }
                return .complete(result: #"{"by":"zombie"}"#)
            }
            // One slot: once the next one is done, the outcome of the first one has been dealt with.
            try await test.running(processor) { try await test.untilState(.completed, of: next) }
            let row = try await test.row(id)
            #expect(row.state == .running)
            #expect(row.worker == "thief")
            #expect(row.result == nil)
        }
    }

    @Test("the lease of a job that takes long is extended")
    func extended() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let journal = Journal<Event>()
            let mayEnd = WakeUp()
            let (processor, _) = test.processor {
                $0.lease = .milliseconds(400)
            } _: {
                try await work($0, journal, until: mayEnd)
            }
            try await untilExtended(id, test, processor, journal, mayEnd)
            #expect(!journal.entries.contains(.cancelled(id)))
        }
    }

    @Test("the lease is extended while all connections of the worker wait for something else")
    func noConnectionLeft() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let journal = Journal<Event>()
            let mayEnd = WakeUp()
            var configuration = test.configuration
            configuration.maximumConnections = 1
            let worker = PostgresClient(configuration, logger: TestQueue.logger)
            let (processor, _) = test.processor(client: worker) {
                $0.lease = .milliseconds(400)
            } _: { job in
                try await worker.withConnection { _ in try await work(job, journal, until: mayEnd) }
            }
            try await untilExtended(id, test, processor, journal, mayEnd)
            await worker.close()
        }
    }

    /// Runs the processor until it has extended the job's lease twice, then lets the job end.
    private func untilExtended(
        _ job: JobID,
        _ test: TestQueue,
        _ processor: JobProcessor,
        _ journal: Journal<Event>,
        _ mayEnd: WakeUp
    ) async throws {
        try await test.running(processor) {
            try await until(.started(job), in: journal)
            let claimedUntil = try await leaseEnd(job, test)
            try await eventually("the lease has moved on twice") {
                try await leaseEnd(job, test) > claimedUntil + 0.15
            }
            mayEnd.wake()
            try await test.untilState(.completed, of: job)
        }
    }

    private func leaseEnd(_ job: JobID, _ test: TestQueue) async throws -> Double {
        let end: Double? = try await test.client.query(
            "SELECT extract(epoch FROM lease_expires_at)::float8 FROM job WHERE id = \(job.rawValue)"
        ).decodeFirst(Double.self)
        return try #require(end)
    }

    @Test("at shutdown a job that doesn't end in time is handed back unharmed, and its handler ends")
    func handsBack() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 1)
            let journal = Journal<Event>()
            let (processor, _) = test.processor {
                $0.shutdownGrace = .milliseconds(50)
            } _: {
                try await work($0, journal, until: WakeUp())
            }
            try await listening(to: [.jobs], test.configuration) { heard in
                try await test.runningUntilShutdown(processor) { try await until(.started(id), in: journal) }
                let announced = try await heard.next().payload
                #expect(announced == "manifests", "others need not wait for their next look")
            }
            #expect(journal.entries == [.started(id), .cancelled(id)])
            let row = try await test.row(id)
            #expect(row.state == .available)
            #expect(row.attempt == 0)
            #expect(row.errors.isEmpty)
            #expect(try await test.claimOne().attempt == 1, "another worker takes it at once")
        }
    }

    @Test("at shutdown a running job may end, and no new one is begun")
    func finishes() async throws {
        try await TestQueue.with { test in
            let running = try await test.enqueue("running")
            let late = try await test.enqueue("late", priority: 2)
            let journal = Journal<Event>()
            let (processor, _) = test.processor(slots: 1) {
                $0.shutdownGrace = .seconds(60)
            } _: { job in
                journal.note(.started(job.lease.job))
                try await untilShutdown()
                return .complete(result: "{}")
            }
            try await test.runningUntilShutdown(processor) { try await until(.started(running), in: journal) }
            #expect(try await test.row(running).state == .completed)
            #expect(try await test.row(late).state == .available)
            #expect(journal.entries == [.started(running)])
        }
    }

    @Test("a processor that is cancelled hands back what it has, too")
    func cancelled() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 1)
            let journal = Journal<Event>()
            let (processor, _) = test.processor { try await work($0, journal, until: WakeUp()) }
            try await test.running(processor) { try await until(.started(id), in: journal) }
            #expect(journal.entries == [.started(id), .cancelled(id)])
            let row = try await test.row(id)
            #expect(row.state == .available)
            #expect(row.attempt == 0)
        }
    }

    @Test("the job of a worker that died is done by another one")
    func crash() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            _ = try await test.claimOne(by: "doomed")
            let (heir, _) = test.processor(worker: "heir") { _ in .complete(result: "{}") }
            try await test.running(heir) {
                try await test.lapse(id)
                try await test.rescue()
                try await test.untilState(.completed, of: id)
            }
            let row = try await test.row(id)
            #expect(row.worker == "heir")
            #expect(row.errors == ["lease ran out"])
        }
    }
}
