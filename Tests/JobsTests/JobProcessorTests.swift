// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
import Models
import Postgres
import Synchronization
import TestSupport
import Testing
import Waiting

@Suite("Processors", .timeLimit(.minutes(2)))
struct JobProcessorTests {
    private struct Broken: Error, CustomStringConvertible {
        var description: String { "the handler is broken" }
    }

    /// Queues many jobs in one statement.
    private func enqueue(_ count: Int, _ test: TestQueue) async throws {
        let fetches = try (0..<count).map { try test.fetch("v\($0)") }
        try await test.client.query(
            """
            INSERT INTO job (queue, kind, organization_id, unique_key, payload)
            SELECT 'manifests', 'manifest_fetch', \(test.organization.rawValue), key, payload::jsonb
            FROM unnest(\(fetches.map(\.uniqueKey))::text[], \(fetches.map { JSONText.encode($0) })::text[])
                AS new (key, payload)
            """
        )
    }

    @Test("two processors that race on a thousand jobs do each exactly once")
    func race() async throws {
        try await TestQueue.with { test in
            try await enqueue(1_000, test)
            let done = Journal<JobID>()
            let begun = Journal<String>()
            // The first would be through before the other begins.
            let bothTakePart = { @Sendable (worker: String) in
                begun.note(worker)
                try await eventually("both take part") { Set(begun.entries).count == 2 }
            }
            let second = PostgresClient(test.configuration, logger: TestQueue.logger)
            let (a, _) = test.processor(slots: 8, worker: "a") { job in
                try await bothTakePart("a")
                done.note(job.lease.job)
                return .complete(result: "{}")
            }
            let (b, _) = test.processor(slots: 8, worker: "b", client: second) { job in
                try await bothTakePart("b")
                done.note(job.lease.job)
                return .complete(result: "{}")
            }
            try await test.running(a, b) {
                try await eventually("all are done") {
                    done.entries.count >= 1_000
                        ? try await test.count("SELECT count(*) FROM job WHERE state <> 'completed'") == 0 : false
                }
            }
            #expect(done.entries.count == 1_000)
            #expect(Set(done.entries).count == 1_000)
            #expect(try await test.count("SELECT count(*) FROM job WHERE attempt = 1 AND errors = '[]'") == 1_000)
            #expect(try await test.count("SELECT count(DISTINCT attempted_by) FROM job") == 2, "both took part")
            await second.close()
        }
    }

    @Test("a handler that throws is tried again, and its error stays in the row")
    func throwingHandler() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let (processor, _) = test.processor { job in
                if job.attempt == 1 { throw Broken() }
                return .complete(result: #"{"attempt":\#(job.attempt)}"#)
            }
            try await test.running(processor) { try await test.untilState(.completed, of: id) }
            let row = try await test.row(id)
            #expect(row.attempt == 2)
            #expect(row.errors == ["the handler is broken"])
            #expect(row.result == #"{"attempt": 2}"#)
        }
    }

    @Test("a handler that throws at its last attempt discards the job, and those who wait get a verdict")
    func lastAttempt() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 1)
            let (processor, _) = test.processor { _ in throw Broken() }
            try await test.running(processor) { try await test.untilState(.discarded, of: id) }
            let row = try await test.row(id)
            #expect(row.errors == ["the handler is broken"])
            let verdict = try JSONText.decode(FetchVerdict<ManifestFetched>.self, #require(row.result))
            #expect(verdict.failure?.cause == .cache)
            #expect(verdict.failure?.message.contains("broken") == false, "insides are for the row, not for clients")
        }
    }

    @Test("outcomes end up in the row")
    func outcomes() async throws {
        try await TestQueue.with { test in
            let retried = try await test.enqueue("retried")
            let discarded = try await test.enqueue("discarded")
            let finished = try await test.enqueue("finished")
            let (processor, _) = test.processor { job in
                switch job.lease.job {
                case retried: return .retry(after: .seconds(3_600), reason: "not now", result: "{}")
                case discarded: return .discard(reason: "never", result: #"{"no":1}"#)
                default:
                    try await test.queue.complete(job.lease, result: #"{"own":1}"#, on: test.client)
                    return .finished
                }
            }
            try await test.running(processor) {
                try await test.untilState(.retryable, of: retried)
                try await test.untilState(.discarded, of: discarded)
                try await test.untilState(.completed, of: finished)
            }
            #expect(try await test.row(retried).errors == ["not now"])
            #expect(try await test.row(discarded).errors == ["never"])
            #expect(try await test.row(discarded).result == #"{"no": 1}"#)
            #expect(try await test.row(finished).result == #"{"own": 1}"#)
        }
    }

    @Test("a job that wants another try at its last attempt is discarded with its result")
    func retryAtLastAttempt() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(maxAttempts: 1)
            let (processor, _) = test.processor { _ in .retry(after: .zero, reason: "not now", result: #"{"no":1}"#) }
            try await test.running(processor) { try await test.untilState(.discarded, of: id) }
            #expect(try await test.row(id).result == #"{"no": 1}"#)
        }
    }

    @Test("those who wait for a job are told of its end")
    func announces() async throws {
        try await TestQueue.with { test in
            try await listening(to: [.finishedJobs], test.configuration) { heard in
                let (processor, _) = test.processor { _ in .complete(result: "{}") }
                let id = try await test.enqueue()
                var payload = ""
                try await test.running(processor) { payload = try await heard.next().payload }
                #expect(payload == id.description)
            }
        }
    }

    @Test("no more jobs run at once than there are slots, and a slot that gets free is used at once")
    func slots() async throws {
        try await TestQueue.with { test in
            try await enqueue(9, test)
            let running = Atomic(0)
            let peak = Journal<Int>()
            // Nothing but the end of a job makes this processor look again. Some take long, so that short ones end beside
            // them.
            let (processor, _) = test.processor(slots: 2) {
                $0.pollInterval = .seconds(3_600)
            } _: { job in
                peak.note(running.add(1, ordering: .relaxed).newValue)
                try await Task.sleep(for: .milliseconds(job.lease.job.rawValue.isMultiple(of: 2) ? 1 : 30))
                running.subtract(1, ordering: .relaxed)
                return .complete(result: "{}")
            }
            try await test.running(processor) {
                try await eventually("all are done") {
                    try await test.count("SELECT count(*) FROM job WHERE state = 'completed'") == 9
                }
            }
            #expect(peak.entries.count == 9)
            #expect(try #require(peak.entries.max()) <= 2)
        }
    }

    @Test("when a job ends that others of its upstream had to wait for, the next begins at once")
    func limitedUpstream() async throws {
        try await TestQueue.with { test in
            try await UpstreamStore().setLimits(
                maximumConnections: 1,
                requestsPerSecond: nil,
                of: ProxyCacheConfig.sample.upstream.baseURL,
                on: test.client
            )
            for number in 0..<5 { try await test.enqueue("v\(number)") }
            // Nothing but the end of a job makes this processor look again.
            let (processor, _) = test.processor {
                $0.pollInterval = .seconds(3_600)
            } _: { _ in
                .complete(result: "{}")
            }
            try await test.running(processor) {
                try await eventually("all are done") {
                    try await test.count("SELECT count(*) FROM job WHERE state = 'completed'") == 5
                }
            }
        }
    }

    @Test("a hint makes an idle processor look at once")
    func hint() async throws {
        try await TestQueue.with { test in
            let isReady = WakeUp()
            let (processor, wakeUp) = test.processor {
                $0.pollInterval = .seconds(3_600)
            } _: { _ in
                isReady.wake()
                return .complete(result: "{}")
            }
            try await test.running(processor) {
                for round in 0..<3 {
                    try await test.enqueue("v\(round)")
                    wakeUp.wake()
                    #expect(await isReady.wait(atMost: .seconds(30)))
                }
            }
        }
    }

    @Test("a processor outlives a database that fails it")
    func outlivesFailures() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            try await test.client.query("ALTER TABLE job RENAME TO job_away")
            try await test.withOwnClient("processor") { client in
                let (processor, _) = test.processor(client: client) { _ in .complete(result: "{}") }
                try await test.running(processor) {
                    try await test.untilItHasFailed("processor")
                    try await test.client.query("ALTER TABLE job_away RENAME TO job")
                    try await test.untilState(.completed, of: id)
                }
            }
        }
    }
}
