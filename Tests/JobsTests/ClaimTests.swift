// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import Postgres
import TestSupport
import Testing

@testable import Jobs

@Suite("Claiming", .timeLimit(.minutes(2)))
struct ClaimTests {
    @Test("a claimed job is its worker's, with a lease and a token of its own")
    func claim() async throws {
        try await TestQueue.with { test in
            let ids = [try await test.enqueue("a"), try await test.enqueue("b")]
            let jobs = try await test.claim(by: "fetcher-1")
            #expect(Set(jobs.map(\.lease.job)) == Set(ids))
            #expect(Set(jobs.map(\.lease.token)).count == 2)
            for id in ids {
                let row = try await test.row(id)
                #expect(row.state == .running)
                #expect(row.attempt == 1)
                #expect(row.worker == "fetcher-1")
            }
            let leases = try await test.count(
                """
                SELECT count(*) FROM job
                WHERE lease_expires_at BETWEEN now() + interval '500 s' AND now() + interval '600 s'
                """
            )
            #expect(leases == 2)
            #expect(try await test.claim().isEmpty, "nothing is left")
        }
    }

    @Test("the most urgent job comes first, among equals the oldest")
    func order() async throws {
        try await TestQueue.with { test in
            let queued: [(String, Int)] = [("c", 2), ("a", 1), ("e", 9), ("d", 2), ("b", 1)]
            for (tag, priority) in queued { try await test.enqueue(tag, priority: priority) }
            var order: [String] = []
            while let job = try await test.claim(upTo: 1).first {
                // Ended at once, or the organization's running jobs would count.
                try await test.queue.complete(job.lease, result: "{}", on: test.client)
                order.append(try JSONText.decode(ManifestFetch.self, job.payload).reference.description)
            }
            #expect(order == ["a", "b", "c", "d", "e"])
        }
    }

    @Test("an organization's blobs on their way stay below the limit, one that is larger comes alone, others go on")
    func bytesInFlight() async throws {
        try await TestQueue.with { test in
            let other = try await TestQueue.makeOrganization("second", on: test.client)
            func enqueue(_ name: String, _ size: Int64, for organization: OrganizationID? = nil) async throws -> JobID {
                let blob = BlobFetch(
                    organization: organization ?? test.organization,
                    upstream: "https://quay.io",
                    repository: try RepositoryName("a/b"),
                    digest: Digest.of(Array(name.utf8)),
                    sizeBytes: size
                )
                return try await test.queue.enqueue(blob, on: test.client)
            }
            func claim() async throws -> [ClaimedJob] {
                try await test.queue.claim(
                    .blobs,
                    kinds: [.blobFetch],
                    limit: 10,
                    worker: "worker",
                    lease: .seconds(600),
                    bytesInFlight: 100,
                    on: test.client
                ).jobs
            }
            let mine = [try await enqueue("a", 60), try await enqueue("b", 40), try await enqueue("c", 1)]
            let huge = try await enqueue("d", 1_000)
            let theirs = try await enqueue("e", 500, for: other)
            let first = try await claim()
            #expect(Set(first.map(\.lease.job)) == [mine[0], mine[1], theirs])
            #expect(try await claim().isEmpty)
            for job in first { try await test.queue.complete(job.lease, result: "{}", on: test.client) }
            let second = try await claim()
            #expect(second.map(\.lease.job) == [mine[2]], "the next one doesn't fit beside it")
            for job in second { try await test.queue.complete(job.lease, result: "{}", on: test.client) }
            #expect(try await claim().map(\.lease.job) == [huge])
        }
    }

    @Test("one organization's many jobs don't hold up another's one")
    func fairness() async throws {
        try await TestQueue.with { test in
            let other = try await TestQueue.makeOrganization("second", on: test.client)
            for number in 0..<5 { try await test.enqueue("mine\(number)") }
            let theirs = try await test.enqueue("theirs", for: other)
            let first = try await test.claim(upTo: 1)
            #expect(first.map(\.lease.job) != [theirs], "the oldest, while nobody has one running")
            #expect(try await test.claim(upTo: 1).map(\.lease.job) == [theirs])
            #expect(try await test.claim().count == 4, "and nobody is left out")
        }
    }

    @Test("one organization's jobs take a part of a worker only, in however many claims; another's find the rest free")
    func share() async throws {
        try await TestQueue.with { test in
            let other = try await TestQueue.makeOrganization("second", on: test.client)
            for number in 0..<5 { try await test.enqueue("mine\(number)") }
            let first = try await test.claim(upTo: 2, ownerShare: 3)
            #expect(first.count == 2)
            #expect(try await test.claim(upTo: 4, ownerShare: 3).count == 1)
            #expect(try await test.claim(upTo: 4, ownerShare: 3).isEmpty)
            let theirs = try await test.enqueue("theirs", for: other)
            #expect(try await test.claim(upTo: 4, ownerShare: 3).map(\.lease.job) == [theirs])
            #expect(try await test.claim(upTo: 1, by: "another", ownerShare: 3).count == 1, "each worker for itself")
            try await test.queue.complete(first[0].lease, result: "{}", on: test.client)
            #expect(try await test.claim(upTo: 4, ownerShare: 3).count == 1)
        }
    }

    @Test("urgency counts more than fairness")
    func urgencyFirst() async throws {
        try await TestQueue.with { test in
            let other = try await TestQueue.makeOrganization("second", on: test.client)
            try await test.enqueue("one")
            _ = try await test.claimOne()
            let urgent = try await test.enqueue("two", priority: 1)
            try await test.enqueue("three", for: other, priority: 2)
            #expect(try await test.claim(upTo: 1).map(\.lease.job) == [urgent])
        }
    }

    @Test("a claim takes no more than its limit, and nothing of another queue", arguments: [0, 1, 3])
    func limit(_ limit: Int) async throws {
        try await TestQueue.with { test in
            for number in 0..<4 { try await test.enqueue("v\(number)") }
            let blob = BlobFetch(
                organization: test.organization,
                upstream: ProxyCacheConfig.sample.upstream.baseURL,
                repository: try RepositoryName("library/alpine"),
                digest: Digest.of([1]),
                sizeBytes: 1
            )
            let blobJob = try await test.queue.enqueue(blob, on: test.client)
            #expect(try await test.claim(upTo: limit).count == limit)
            #expect(try await test.count("SELECT count(*) FROM job WHERE state = 'running'") == limit)
            #expect(try await test.row(blobJob).state == .available)
        }
    }

    @Test("a job of a kind that this program doesn't know is left to those who do, and harms no other")
    func unknownKind() async throws {
        try await TestQueue.with { test in
            let foreign = try await test.enqueue("foreign")
            try await test.client.query("UPDATE job SET kind = 'of_tomorrow' WHERE id = \(foreign.rawValue)")
            let ours = try await test.enqueue("ours")
            #expect(try await test.claim().map(\.lease.job) == [ours])
            let row = try await test.row(foreign)
            #expect(row.state == .available)
            #expect(row.attempt == 0)
        }
    }

    @Test("a job isn't claimed before its time")
    func scheduled() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            try await test.client.query("UPDATE job SET scheduled_at = now() + interval '1 hour'")
            #expect(try await test.claim().isEmpty)
            try await test.makeDue(id)
            #expect(try await test.claim().map(\.lease.job) == [id])
        }
    }

    @Test("a claim passes over what another claim has in hand, without waiting for it")
    func skipLocked() async throws {
        try await TestQueue.with { test in
            for number in 0..<4 { try await test.enqueue("v\(number)") }
            try await test.client.withTransaction { transaction in
                let claim = JobQueue.Claim(
                    queue: .manifests,
                    kinds: [.manifestFetch],
                    limit: 2,
                    worker: "first",
                    lease: .seconds(60)
                )
                let first = try await test.queue.take(claim, on: transaction)
                // The first claim isn't committed, so the second one sees its rows as available, and locked.
                let second = try await test.claim()
                #expect(first.count == 2)
                #expect(second.count == 2)
                #expect(Set((first + second).map(\.lease.job)).count == 4)
            }
        }
    }

    @Test("claimers that race never get the same job")
    func race() async throws {
        try await TestQueue.with { test in
            for number in 0..<120 { try await test.enqueue("v\(number)") }
            let claimed = try await withThrowingTaskGroup(of: [JobID].self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        var mine: [JobID] = []
                        while true {
                            let jobs = try await test.claim(upTo: 3, by: "worker-\(worker)")
                            if jobs.isEmpty { return mine }
                            mine += jobs.map(\.lease.job)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(Set(claimed).count == claimed.count)
            // A claimer may leave while others still hold rows; what it saw locked was theirs.
            #expect(claimed.count == 120)
        }
    }
}
