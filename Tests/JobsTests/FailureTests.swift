// SPDX-License-Identifier: Apache-2.0

import Models
import Postgres
import Testing

@testable import Jobs

@Suite("Failures, rescue and cleaning", .timeLimit(.minutes(2)))
struct FailureTests {
    @Test("a failed job waits for its time, then is tried again, and remembers why")
    func retry() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let first = try await test.claimOne(by: "worker-1")
            try await test.queue.fail(
                first.lease,
                reason: "upstream said \"no\" to 'us' \\",
                retryAfter: .seconds(3_600),
                result: nil,
                on: test.client
            )
            #expect(try await test.row(id).state == .retryable)
            #expect(try await test.claim().isEmpty)
            try await test.makeDue(id)
            let second = try await test.claimOne(by: "worker-2")
            #expect(second.lease.job == id)
            #expect(second.attempt == 2)
            try await test.queue.fail(second.lease, reason: "again", retryAfter: .zero, result: nil, on: test.client)
            let errors = try await test.client.query(
                """
                SELECT e->>'attempt', e->>'worker', e->>'message', e->>'at' IS NOT NULL
                FROM job, jsonb_array_elements(errors) AS e
                """
            ).decode((String, String, String, Bool).self)
            #expect(errors.map(\.0) == ["1", "2"])
            #expect(errors.map(\.1) == ["worker-1", "worker-2"])
            #expect(errors.map(\.2) == ["upstream said \"no\" to 'us' \\", "again"])
            #expect(errors.map(\.3) == [true, true])
        }
    }

    @Test("the delay before the next try is the one that was asked for", arguments: [0.25, 1.5, 90])
    func delay(_ seconds: Double) async throws {
        try await TestQueue.with { test in
            try await test.enqueue()
            let job = try await test.claimOne()
            let after = Duration.seconds(seconds)
            try await test.client.withTransaction { transaction in
                try await test.queue.fail(job.lease, reason: "x", retryAfter: after, result: nil, on: transaction)
                // Inside the transaction the time stands still.
                let delay: Double? = try await transaction.query(
                    "SELECT extract(epoch FROM scheduled_at - now())::float8 FROM job"
                )
                .decodeFirst(Double.self)
                #expect(delay == seconds)
            }
        }
    }

    @Test("a job that fails for good is discarded with its result and never claimed again")
    func discard() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let job = try await test.claimOne()
            try await test.queue.fail(job.lease, reason: "gone", retryAfter: nil, result: #"{"no":1}"#, on: test.client)
            let row = try await test.row(id)
            #expect(row.state == .discarded)
            #expect(row.result == #"{"no": 1}"#)
            #expect(row.errors == ["gone"])
            try await test.makeDue(id)
            #expect(try await test.claim().isEmpty)
        }
    }

    @Test("the last attempt is known as such")
    func lastAttempt() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 2)
            let first = try await test.claimOne()
            #expect(!first.isLastAttempt)
            try await test.queue.fail(first.lease, reason: "x", retryAfter: .zero, result: nil, on: test.client)
            try await test.makeDue(id)
            #expect(try await test.claimOne().isLastAttempt)
        }
    }

    @Test("a job whose lease ran out goes to another worker, and the attempt doesn't count")
    func rescue() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 1)
            let other = try await test.enqueue("other")
            let jobs = try await test.claim(by: "silent")
            #expect(jobs.count == 2)
            #expect(try await test.rescue().isEmpty, "nothing has lapsed")
            try await test.lapse(id)
            #expect(try await test.rescue() == [RescuedJob(id: id, queue: "manifests", isDiscarded: false)])
            let row = try await test.row(id)
            #expect(row.state == .available)
            #expect(row.attempt == 0)
            #expect(row.lapses == 1)
            #expect(row.errors == ["lease ran out"])
            #expect(try await test.row(other).state == .running)
            #expect(try await test.rescue().isEmpty)
            #expect(try await test.claimOne().lease.job == id)
        }
    }

    @Test("a job that silences three workers is discarded with a result for those who wait")
    func poison() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 9)
            for lapse in 1...JobQueue.maximumLapses {
                _ = try await test.claimOne()
                try await test.lapse(id)
                let isLast = lapse == JobQueue.maximumLapses
                #expect(try await test.rescue() == [RescuedJob(id: id, queue: "manifests", isDiscarded: isLast)])
            }
            let row = try await test.row(id)
            #expect(row.state == .discarded)
            #expect(row.result == #"{"lapsed": true}"#)
            #expect(row.errors == ["lease ran out", "lease ran out", "lease ran out"])
            #expect(try await test.claim().isEmpty)
            #expect(try await test.enqueue() != id, "somebody may ask again")
        }
    }

    @Test("only lapses in a row make a poison pill: a failure that was told is a sign of life")
    func lapsesInARow() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 9)
            for _ in 0..<2 {
                _ = try await test.claimOne()
                try await test.lapse(id)
                try await test.rescue()
            }
            let job = try await test.claimOne()
            try await test.queue.fail(job.lease, reason: "x", retryAfter: .zero, result: nil, on: test.client)
            try await test.makeDue(id)
            _ = try await test.claimOne()
            try await test.lapse(id)
            #expect(try await test.rescue().map(\.isDiscarded) == [false])
            #expect(try await test.row(id).lapses == 1)
        }
    }

    @Test("each lapsed job is rescued by one of those who look at once")
    func concurrentRescue() async throws {
        try await TestQueue.with { test in
            for number in 0..<30 { try await test.enqueue("v\(number)") }
            #expect(try await test.claim(upTo: 100).count == 30)
            try await test.client.query("UPDATE job SET lease_expires_at = now() - interval '1 second'")
            let rescued = try await withThrowingTaskGroup(of: [JobID].self) { group in
                for _ in 0..<6 { group.addTask { try await test.rescue().map(\.id) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(rescued.count == 30)
            #expect(Set(rescued).count == 30)
            #expect(try await test.count("SELECT count(*) FROM job WHERE lapses = 1 AND state = 'available'") == 30)
        }
    }

    @Test("finished jobs go when they are old enough: completed ones first, live ones never")
    func clean() async throws {
        try await TestQueue.with { test in
            func finish(_ tag: String, isGood: Bool, age: Int) async throws {
                let id = try await test.enqueue(tag)
                let job = try await test.claimOne()
                if isGood {
                    try await test.queue.complete(job.lease, result: "{}", on: test.client)
                } else {
                    try await test.queue.fail(job.lease, reason: "x", retryAfter: nil, result: nil, on: test.client)
                }
                try await test.client.query(
                    """
                    UPDATE job SET finalized_at = now() - \(age) * interval '1 second', unique_key = \(tag)
                    WHERE id = \(id.rawValue)
                    """
                )
            }
            for (age, name) in [(10, "young"), (100, "old"), (1_000, "ancient")] {
                try await finish("good-\(name)", isGood: true, age: age)
                try await finish("bad-\(name)", isGood: false, age: age)
            }
            try await test.enqueue("running")
            _ = try await test.claimOne()
            try await test.enqueue("waiting")
            try await test.client.query("UPDATE job SET created_at = now() - interval '1 day'")
            func clean(limit: Int) async throws -> Int {
                try await test.queue.clean(
                    completedOlderThan: .seconds(60),
                    discardedOlderThan: .seconds(600),
                    limit: limit,
                    on: test.client
                )
            }
            #expect(try await clean(limit: 2) == 2)
            #expect(try await clean(limit: 2) == 1)
            #expect(try await clean(limit: 2) == 0)
            let left = try await test.client.query(
                "SELECT unique_key FROM job WHERE finalized_at IS NOT NULL ORDER BY 1"
            )
            .decode(String.self)
            #expect(left == ["bad-old", "bad-young", "good-young"])
            #expect(try await test.count("SELECT count(*) FROM job") == 5)
        }
    }
}
