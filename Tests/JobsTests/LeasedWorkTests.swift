// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import Postgres
import TestSupport
import Testing

@Suite("One statement for a job's lease and its work", .timeLimit(.minutes(2)))
struct LeasedWorkTests {
    private static let work: Query = "UPDATE work SET done = done + 1 WHERE id = 1"

    private func withWork(_ body: (TestQueue, ClaimedJob) async throws -> Void) async throws {
        try await TestQueue.with { test in
            try await test.client.query("CREATE TABLE work (id int, done int)")
            try await test.client.query("INSERT INTO work VALUES (1, 0), (2, 0)")
            try await test.enqueue()
            try await body(test, try await test.claimOne())
        }
    }

    private func done(_ test: TestQueue) async throws -> Int { try await test.count("SELECT sum(done)::int FROM work") }

    @Test("the work is done and the job is over")
    func both() async throws {
        try await withWork { test, job in
            #expect(try await test.queue.complete(job.lease, result: "{}", with: Self.work, on: test.client))
            #expect(try await done(test) == 1)
            #expect(try await test.row(job.lease.job).state == .completed)
            let code = try await queueError {
                _ = try await test.queue.complete(job.lease, result: "{}", with: Self.work, on: test.client)
            }
            #expect(code == .leaseLost)
            #expect(try await done(test) == 1)
        }
    }

    @Test("a job whose work finds nothing to do goes on")
    func nothing() async throws {
        try await withWork { test, job in
            let work: Query = "UPDATE work SET done = done + 1 WHERE id = 3"
            #expect(try await !test.queue.complete(job.lease, result: "{}", with: work, on: test.client))
            #expect(try await test.row(job.lease.job).state == .running)
            try await test.queue.complete(job.lease, result: "{}", on: test.client)
        }
    }

    @Test("a worker that has lost its lease does no work")
    func lost() async throws {
        try await withWork { test, old in
            try await test.lapse(old.lease.job)
            try await test.rescue()
            let new = try await test.claimOne()
            let code = try await queueError {
                _ = try await test.queue.complete(old.lease, result: "{}", with: Self.work, on: test.client)
            }
            #expect(code == .leaseLost)
            #expect(try await done(test) == 0)
            #expect(try await test.row(new.lease.job).state == .running)
        }
    }

    @Test("work on the way leaves the job as it is, and isn't done by who has lost it")
    func onTheWay() async throws {
        try await withWork { test, old in
            try await test.queue.perform(Self.work, holding: old.lease, on: test.client)
            #expect(try await done(test) == 1)
            #expect(try await test.row(old.lease.job).state == .running)
            try await test.lapse(old.lease.job)
            try await test.rescue()
            let new = try await test.claimOne()
            let code = try await queueError {
                try await test.queue.perform(Self.work, holding: old.lease, on: test.client)
            }
            #expect(code == .leaseLost)
            #expect(try await done(test) == 1)
            try await test.queue.perform(Self.work, holding: new.lease, on: test.client)
            #expect(try await done(test) == 2)
        }
    }

    @Test("a heartbeat in between does no harm")
    func heartbeat() async throws {
        try await withWork { test, job in
            let ending = try await test.client.withTransaction { transaction in
                let held = try await test.queue.heartbeat([job.lease], lease: .seconds(60), on: transaction)
                #expect(held == [job.lease])
                // It has read the row as it was before, and finds it changed when this transaction ends.
                let ending = Task {
                    try await test.queue.complete(job.lease, result: "{}", with: Self.work, on: test.client)
                }
                try await test.client.untilSomebodyWaits(for: transaction)
                return ending
            }
            #expect(try await ending.value)
            #expect(try await done(test) == 1)
            #expect(try await test.row(job.lease.job).state == .completed)
        }
    }

    @Test("who waited for the one that took the job away does no work")
    func taken() async throws {
        try await withWork { test, job in
            let ending = try await test.client.withTransaction { transaction in
                try await transaction.query("UPDATE job SET lease_token = nextval('job_lease_token')")
                let ending = Task {
                    try await test.queue.complete(job.lease, result: "{}", with: Self.work, on: test.client)
                }
                try await test.client.untilSomebodyWaits(for: transaction)
                return ending
            }
            let code = try await queueError { _ = try await ending.value }
            #expect(code == .leaseLost)
            #expect(try await done(test) == 0)
        }
    }
}
