// SPDX-License-Identifier: Apache-2.0

import Blobs
import Jobs
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@testable import PullThrough

/// A follow and what drives it, with a database between them and the fetcher.
@Suite("Following a blob")
struct BlobFollowingTests {
    private let failure = FetchFailure(.denied, "upstream doesn't let us have it", upstreamStatus: 403)

    @Test("a blob is asked for, and followed from its first byte to its last")
    func arriving() async throws {
        try await PullBench.with { bench in
            let handle = bench.follower.join(bench.fetch)
            let job = try await bench.claim()
            let payload = try JSONText.decode(BlobFetch.self, job.payload)
            #expect(payload == bench.fetch)
            let writer = try await bench.partial(bench.blob.bytes(0..<200_000))
            try await handle.follow.beginning()
            let first = try await handle.follow.window(beyond: 199_999)
            #expect(first.end == 200_000)
            try writer.append(bench.blob.bytes(200_000..<500_000))
            let released = 500_000 - StreamRules.heldBackBytes
            let second = try await handle.follow.window(beyond: released - 1)
            #expect(second.end == released)
            #expect(second.source === first.source, "it is one file that grows")
            try writer.markVerified()
            let last = try await handle.follow.window(beyond: released)
            #expect(last.end == 500_000)
            #expect(try last.source.bytes(0..<500_000) == bench.blob.bytes)
            let late = bench.follower.join(bench.fetch)
            #expect(late.follow === handle.follow)
            let jobs = try await bench.count("SELECT count(*) FROM job")
            #expect(jobs == 1)
        }
    }

    @Test("a blob that was stored meanwhile is read from where it is")
    func stored() async throws {
        try await PullBench.with { bench in
            try await bench.place(try await bench.partial(bench.blob.bytes))
            let handle = bench.follower.join(bench.fetch)
            let window = try await handle.follow.window(beyond: 499_999)
            #expect(try window.source.bytes(0..<500_001) == bench.blob.bytes)
        }
    }

    @Test("the partial of another attempt takes the place of the one before")
    func restarted() async throws {
        try await PullBench.with { bench in
            let handle = bench.follower.join(bench.fetch)
            _ = try await bench.claim()
            let old = try await bench.partial(bench.blob.bytes(0..<300_000))
            let before = try await handle.follow.window(beyond: 299_999)
            try old.discard()
            let new = try await bench.partial(bench.blob.bytes(0..<100_000))
            var after = before
            try await eventually("the new partial is followed") {
                after = try await handle.follow.window(beyond: 0)
                return after.source !== before.source
            }
            #expect(after.end == 100_000)
            try new.append(bench.blob.bytes(100_000..<400_000))
            let window = try await handle.follow.window(beyond: 399_999)
            #expect(window.source === after.source)
            #expect(try before.source.bytes(0..<300_000) == bench.blob.bytes(0..<300_000), "to compare with")
        }
    }

    @Test("a fetch that fails ends the follow with its cause, and the next reader asks anew")
    func failed() async throws {
        try await PullBench.with { [failure] bench in
            let handle = bench.follower.join(bench.fetch)
            try await bench.fail(try await bench.claim(), failure)
            await #expect(throws: failure) { try await handle.follow.beginning() }
            await #expect(throws: failure) { try await handle.follow.window(beyond: 0) }
            var next = bench.follower.join(bench.fetch)
            try await eventually("the failed follow is closed") {
                next = bench.follower.join(bench.fetch)
                return next.follow !== handle.follow
            }
            let job = try await bench.claim()
            #expect(try JSONText.decode(BlobFetch.self, job.payload) == bench.fetch)
            withExtendedLifetime(next) {}
        }
    }

    @Test("the failure of somebody else's fetch isn't ours: it is asked for again with our upstream")
    func foreignFailure() async throws {
        try await PullBench.with { [failure] bench in
            let foreign = try bench.foreign()
            _ = try await JobQueue().enqueue(foreign, priority: 5, on: bench.client)
            let theirs = try await bench.claim()
            let handle = bench.follower.join(bench.fetch)
            // Joining a job that lives raises it to the priority of who joins.
            try await eventually("the follow joins the job that runs") {
                try await bench.count("SELECT priority::bigint FROM job") == 1
            }
            try await bench.fail(theirs, FetchFailure(.denied, "not for you"))
            let ours = try await bench.claim()
            #expect(try JSONText.decode(BlobFetch.self, ours.payload) == bench.fetch)
            try await bench.fail(ours, failure)
            await #expect(throws: failure) { try await handle.follow.beginning() }
        }
    }

    @Test("who pulls the same blob by another repository isn't told what is wrong with the first one's upstream")
    func strangersInOneFrontend() async throws {
        try await PullBench.with { [failure] bench in
            let foreign = try bench.foreign()
            let theirs = bench.follower.join(foreign)
            let job = try await bench.claim()
            let ours = bench.follower.join(bench.fetch)
            try await bench.fail(job, failure)
            await #expect(throws: failure) { try await theirs.follow.beginning() }
            let next = try await bench.claim()
            #expect(try JSONText.decode(BlobFetch.self, next.payload) == bench.fetch)
            try await bench.place(try await bench.partial(bench.blob.bytes))
            let window = try await ours.follow.window(beyond: 499_999)
            #expect(window.end == 500_000)
        }
    }

    @Test("a job that ended without bringing the blob is asked for again")
    func lostJob() async throws {
        try await PullBench.with { bench in
            let handle = bench.follower.join(bench.fetch)
            let lost = try await bench.claim()
            try await bench.client.query("DELETE FROM job")
            let job = try await bench.claim()
            #expect(job.lease.job != lost.lease.job)
            try await bench.place(try await bench.partial(bench.blob.bytes))
            let window = try await handle.follow.window(beyond: 499_999)
            #expect(window.end == 500_000)
        }
    }

    @Test("an object that is gone although its row says otherwise is fetched again")
    func lostObject() async throws {
        try await PullBench.with { bench in
            let writer = try await bench.partial(bench.blob.bytes)
            try await bench.place(writer)
            let (digest, size) = (bench.fetch.digest, bench.fetch.sizeBytes)
            try bench.storage.remove(
                BlobPlacement(digest: digest, generation: writer.generation, sizeBytes: size)
            )
            let handle = bench.follower.join(bench.fetch)
            try await eventually("the row is corrected") {
                try await bench.count("SELECT count(*) FROM blob WHERE generation IS NOT NULL") == 0
            }
            try await bench.place(try await bench.partial(bench.blob.bytes))
            let window = try await handle.follow.window(beyond: size - 1)
            #expect(window.end == size)
        }
    }

    @Test(
        "a manifest that says another size than the blob has gets an error, and no byte more",
        arguments: [400_000, 600_000] as [Int64]
    )
    func wrongSize(_ size: Int64) async throws {
        try await PullBench.with { bench in
            let wrong = BlobFetch(
                organization: bench.fetch.organization,
                upstream: bench.fetch.upstream,
                repository: bench.fetch.repository,
                digest: bench.fetch.digest,
                sizeBytes: size
            )
            let handle = bench.follower.join(wrong)
            let writer = try await bench.partial(bench.blob.bytes)
            try writer.markVerified()
            try await bench.place(writer)
            let error = await #expect(throws: FetchFailure.self) { try await handle.follow.window(beyond: size - 1) }
            #expect(error?.cause == .badContent)
        }
    }
}
