// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import Postgres
import Testing

@Suite("Leases", .timeLimit(.minutes(2)))
struct LeaseTests {
    private struct Refusal: Error {}

    /// A job whose first worker was silent for too long, and which a second one has now.
    private func stolen(_ test: TestQueue) async throws -> (old: ClaimedJob, new: ClaimedJob) {
        try await test.enqueue()
        let old = try await test.claimOne(by: "old")
        try await test.lapse(old.lease.job)
        try await test.rescue()
        return (old, try await test.claimOne(by: "new"))
    }

    @Test("a heartbeat extends the leases that are held and leaves out those that are lost")
    func heartbeat() async throws {
        try await TestQueue.with { test in
            let (old, new) = try await stolen(test)
            try await test.enqueue("done")
            let done = try await test.claimOne()
            try await test.queue.complete(done.lease, result: "{}", on: test.client)
            try await test.enqueue("mine")
            let mine = try await test.claimOne()
            let held = try await test.queue.heartbeat(
                [old.lease, done.lease, mine.lease],
                lease: .seconds(7_200),
                on: test.client
            )
            #expect(held == [mine.lease])
            let extended = try await test.client.query(
                "SELECT id FROM job WHERE lease_expires_at > now() + interval '1 hour'"
            ).decode(Int64.self)
            #expect(extended == [mine.lease.job.rawValue], "the thief's lease isn't extended by the old worker")
            #expect(try await test.queue.heartbeat([new.lease], lease: .seconds(60), on: test.client) == [new.lease])
            #expect(try await test.queue.heartbeat([], lease: .seconds(60), on: test.client).isEmpty)
        }
    }

    @Test("a heartbeat doesn't wait for a job that is being published, and extends the others")
    func heartbeatWhilePublishing() async throws {
        try await TestQueue.with { test in
            try await test.enqueue("published")
            let published = try await test.claimOne()
            try await test.enqueue("mine")
            let mine = try await test.claimOne()
            try await test.client.withTransaction { transaction in
                try await test.queue.fence(published.lease, on: transaction)
                // Waiting for the transaction would never end: it ends after this.
                let held = try await test.queue.heartbeat(
                    [published.lease, mine.lease],
                    lease: .seconds(7_200),
                    on: test.client
                )
                #expect(held == [published.lease, mine.lease])
                let extended = try await test.client.query(
                    "SELECT id FROM job WHERE lease_expires_at > now() + interval '1 hour'"
                ).decode(Int64.self)
                #expect(extended == [mine.lease.job.rawValue])
            }
        }
    }

    @Test("a worker that comes back late, but before anybody noticed, keeps its job")
    func lateHeartbeat() async throws {
        try await TestQueue.with { test in
            try await test.enqueue()
            let job = try await test.claimOne()
            try await test.lapse(job.lease.job)
            #expect(try await test.queue.heartbeat([job.lease], lease: .seconds(60), on: test.client) == [job.lease])
            #expect(try await test.rescue().isEmpty)
            try await test.queue.complete(job.lease, result: "{}", on: test.client)
        }
    }

    @Test("a completed job is final, once, and keeps its result")
    func complete() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let job = try await test.claimOne()
            try await test.queue.complete(job.lease, result: #"{"ok":true}"#, on: test.client)
            let row = try await test.row(id)
            #expect(row.state == .completed)
            #expect(row.result == #"{"ok": true}"#)
            #expect(
                try await queueError { try await test.queue.complete(job.lease, result: "{}", on: test.client) }
                    == .leaseLost
            )
            #expect(try await test.row(id) == row)
        }
    }

    @Test("a worker that was paused past its lease can do nothing to the job any more")
    func oldToken() async throws {
        try await TestQueue.with { test in
            let (old, new) = try await stolen(test)
            let before = try await test.row(old.lease.job)
            #expect(old.lease.job == new.lease.job && old.lease.token != new.lease.token)
            let attempts: [(String, () async throws -> Void)] = [
                ("complete", { try await test.queue.complete(old.lease, result: "{}", on: test.client) }),
                ("fence", { try await test.queue.fence(old.lease, on: test.client) }),
                (
                    "fail",
                    { try await test.queue.fail(old.lease, reason: "x", retryAfter: nil, result: nil, on: test.client) }
                ),
                (
                    "retry",
                    {
                        try await test.queue.fail(
                            old.lease,
                            reason: "x",
                            retryAfter: .zero,
                            result: nil,
                            on: test.client
                        )
                    }
                ),
            ]
            for (what, attempt) in attempts {
                let code = try await queueError(attempt)
                #expect(code == .leaseLost, "\(what)")
            }
            try await test.queue.handBack([old.lease], on: test.client)
            #expect(try await test.row(old.lease.job) == before)
            try await test.queue.complete(new.lease, result: "{}", on: test.client)
        }
    }

    @Test("what a worker publishes after it lost its lease is undone with its transaction")
    func publishing() async throws {
        try await TestQueue.with { test in
            let (old, new) = try await stolen(test)
            try await test.client.query("CREATE TABLE published (by text)")
            for (worker, lease) in [("old", old.lease), ("new", new.lease)] {
                _ = try await queueError {
                    try await test.client.withTransaction { transaction in
                        try await transaction.query("INSERT INTO published VALUES (\(worker))")
                        try await test.queue.complete(lease, result: "{}", on: transaction)
                    }
                }
            }
            #expect(try await test.client.query("SELECT by FROM published").decode(String.self) == ["new"])
        }
    }

    @Test("a fence keeps a lapsed lease from being taken until its transaction ends")
    func fence() async throws {
        try await TestQueue.with { test in
            try await test.enqueue()
            let job = try await test.claimOne()
            try await test.lapse(job.lease.job)
            try await test.client.withTransaction { transaction in
                try await test.queue.fence(job.lease, on: transaction)
                #expect(try await test.rescue().isEmpty)
                try await test.queue.complete(job.lease, result: "{}", on: transaction)
            }
            #expect(try await test.rescue().isEmpty)
            #expect(try await test.row(job.lease.job).state == .completed)
        }
    }

    @Test("a fence that was rolled back has changed nothing")
    func fenceRolledBack() async throws {
        try await TestQueue.with { test in
            try await test.enqueue()
            let job = try await test.claimOne()
            await #expect(throws: Refusal.self) {
                try await test.client.withTransaction { transaction in
                    try await test.queue.fence(job.lease, on: transaction)
                    throw Refusal()
                }
            }
            try await test.queue.complete(job.lease, result: "{}", on: test.client)
        }
    }

    @Test("a job that is handed back can be claimed at once, and the attempt doesn't count")
    func handBack() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 1)
            for _ in 0..<4 {
                let job = try await test.claimOne()
                #expect(job.attempt == 1)
                try await test.queue.handBack([job.lease], on: test.client)
                let row = try await test.row(id)
                #expect(row.state == .available)
                #expect(row.attempt == 0)
                #expect(row.errors.isEmpty)
                let code = try await queueError { try await test.queue.fence(job.lease, on: test.client) }
                #expect(code == .leaseLost)
            }
            try await test.queue.handBack([], on: test.client)
        }
    }
}
