// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Queueing", .timeLimit(.minutes(2)))
struct EnqueueTests {
    private struct Refusal: Error {}

    @Test("a queued job can be claimed with the payload that was queued")
    func enqueue() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue("v1", priority: 2, maxAttempts: 5)
            let status = try #require(try await test.queue.statuses(of: [id], on: test.client).first)
            #expect(status.state == .available)
            #expect(status.result == nil)
            #expect(try JSONText.decode(ManifestFetch.self, status.payload) == test.fetch("v1"))
            let job = try await test.claimOne()
            #expect(job.lease.job == id)
            #expect(job.kind == .manifestFetch)
            #expect(try JSONText.decode(ManifestFetch.self, job.payload) == test.fetch("v1"))
            #expect(job.attempt == 1)
            #expect(job.maxAttempts == 5)
            #expect(!job.isLastAttempt)
        }
    }

    @Test("who asks for what is queued, running or waiting for its next try already joins that job")
    func join() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            #expect(try await test.enqueue() == id)
            let job = try await test.claimOne()
            #expect(try await test.enqueue() == id)
            try await test.queue.fail(job.lease, reason: "x", retryAfter: .seconds(60), result: nil, on: test.client)
            #expect(try await test.enqueue() == id)
            #expect(try await test.row(id).state == .retryable, "joining changes nothing")
        }
    }

    @Test("whoever has it can see that somebody has asked for it with more urgency")
    func raised() async throws {
        try await TestQueue.with { test in
            _ = try await test.enqueue("v1", priority: 5)
            let job = try await test.claimOne()
            #expect(try await !test.queue.isRaised(job, on: test.client))
            _ = try await test.enqueue("v1", priority: 1)
            #expect(try await test.queue.isRaised(job, on: test.client))
        }
    }

    @Test("queueing doesn't read the answers that a much asked thing had lately")
    func manyAnswers() async throws {
        try await TestQueue.with { test in
            let fetch = try test.fetch()
            try await test.client.query(
                """
                INSERT INTO job (queue, kind, organization_id, unique_key, payload, state, result, finalized_at)
                SELECT 'manifests', \(ManifestFetch.kind.rawValue), \(test.organization.rawValue), \(fetch.uniqueKey),
                    \(JSONText.encode(fetch))::jsonb, 'completed', '{"success":{}}', now()
                FROM generate_series(1, 2000)
                """
            )
            try await test.client.query("ANALYZE job")
            try await test.client.withTransaction { transaction in
                _ = try await test.queue.enqueue(fetch, on: transaction)
                let read = try await transaction.query(
                    "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'job'"
                ).decodeFirst(Int.self)
                #expect(try #require(read) < 10)
            }
        }
    }

    @Test("a job that has ended, well or badly, doesn't stand in the way of a new one", arguments: [true, false])
    func afterTheEnd(isGood: Bool) async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let job = try await test.claimOne()
            if isGood {
                try await test.queue.complete(job.lease, result: "{}", on: test.client)
            } else {
                try await test.queue.fail(job.lease, reason: "x", retryAfter: nil, result: "{}", on: test.client)
            }
            let next = try await test.enqueue()
            #expect(next != id)
            #expect(try await test.claimOne().lease.job == next)
        }
    }

    @Test("who joins with more urgency makes the job more urgent, with less changes nothing")
    func priority() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue(priority: 5)
            for (asked, expected) in [(7, 5), (2, 2), (9, 2)] {
                #expect(try await test.enqueue(priority: asked) == id)
                #expect(try await test.row(id).priority == expected)
            }
        }
    }

    @Test("many who ask at once get one job")
    func concurrent() async throws {
        try await TestQueue.with { test in
            let ids = try await withThrowingTaskGroup(of: JobID.self) { group in
                for _ in 0..<40 { group.addTask { try await test.enqueue() } }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            #expect(try await test.count("SELECT count(*) FROM job") == 1)
        }
    }

    @Test("manifests are one per organization and reference, blobs one per digest for everybody")
    func keys() async throws {
        try await TestQueue.with { test in
            let other = try await TestQueue.makeOrganization("second", on: test.client)
            let digest = Digest.of([1])
            let repository = try RepositoryName("library/alpine")
            var manifests: Set<JobID> = []
            var blobs: Set<JobID> = []
            for organization in [test.organization, other] {
                for reference in [Reference.tag(try TagName("v1")), .tag(try TagName("v2")), .digest(digest)] {
                    let fetch = ManifestFetch(
                        organization: organization,
                        config: .sample,
                        repository: repository,
                        reference: reference
                    )
                    manifests.insert(try await test.queue.enqueue(fetch, on: test.client))
                }
                let fetch = BlobFetch(
                    organization: organization,
                    upstream: ProxyCacheConfig.sample.upstream.baseURL,
                    repository: repository,
                    digest: digest,
                    sizeBytes: 1
                )
                blobs.insert(try await test.queue.enqueue(fetch, on: test.client))
            }
            #expect(manifests.count == 6)
            #expect(blobs.count == 1)
            #expect(manifests.isDisjoint(with: blobs))
        }
    }

    @Test("a job is queued with its caller's transaction, or not at all")
    func transaction() async throws {
        try await TestQueue.with { test in
            let fetch = try test.fetch()
            await #expect(throws: Refusal.self) {
                try await test.client.withTransaction { transaction in
                    _ = try await test.queue.enqueue(fetch, on: transaction)
                    #expect(try await test.claim().isEmpty, "nobody sees it before the commit")
                    throw Refusal()
                }
            }
            #expect(try await test.count("SELECT count(*) FROM job") == 0)
        }
    }

    @Test("statuses tell of those that are there")
    func statuses() async throws {
        try await TestQueue.with { test in
            let done = try await test.enqueue("done")
            let job = try await test.claimOne()
            try await test.queue.complete(job.lease, result: #"{"a":1}"#, on: test.client)
            let waiting = try await test.enqueue("waiting")
            let asked = [waiting, JobID(rawValue: -1), done]
            let found = try await test.queue.statuses(of: asked, on: test.client).sorted {
                $0.id.rawValue < $1.id.rawValue
            }
            #expect(found.map(\.id) == [done, waiting])
            #expect(found.map(\.state) == [.completed, .available])
            #expect(found.map(\.state.isFinal) == [true, false])
            #expect(found.map(\.result) == [#"{"a": 1}"#, nil])
            #expect(try await test.queue.statuses(of: [], on: test.client).isEmpty)
        }
    }
}
