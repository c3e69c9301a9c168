// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import OCI
import Postgres
import TestSupport
import Testing
import Waiting

@testable import PullThrough

@Suite("Fetch desk")
struct FetchDeskTests {
    private static func latest(_ bench: PullBench) throws -> ManifestFetch {
        ManifestFetch(
            organization: bench.fetch.organization,
            config: .sample,
            repository: bench.fetch.repository,
            reference: .tag(try TagName("latest"))
        )
    }

    private static let fetched = ManifestFetched(digest: Digest.of([1]), isNew: true)

    @Test("asks for one thing at one time are one job, and all get its verdict")
    func coalesced() async throws {
        try await PullBench.with { bench in
            let latest = try Self.latest(bench)
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            let asks = (0..<20).map { _ in
                Task {
                    begin.yield()
                    return try await bench.desk.fetch(latest)
                }
            }
            var iterator = begun.makeAsyncIterator()
            for _ in asks { _ = await iterator.next() }
            let job = try await bench.claim(.manifests)
            #expect(try JSONText.decode(ManifestFetch.self, job.payload) == latest)
            try await bench.complete(job, Self.fetched)
            // Who was late asks anew, and is answered by another job.
            let answering = Task {
                while true { try await bench.complete(try await bench.claim(.manifests), Self.fetched) }
            }
            defer { answering.cancel() }
            for ask in asks { #expect(try await ask.value == Self.fetched) }
            let jobs = try await bench.count("SELECT count(*) FROM job")
            #expect(jobs <= 2)
        }
    }

    @Test("a client that leaves takes neither the job nor the others with it")
    func cancelled() async throws {
        try await PullBench.with { bench in
            let latest = try Self.latest(bench)
            let leaving = Task { try await bench.desk.fetch(latest) }
            let job = try await bench.claim(.manifests)
            let staying = Task { try await bench.desk.fetch(latest) }
            leaving.cancel()
            await #expect(throws: CancellationError.self) { try await leaving.value }
            try await bench.complete(job, Self.fetched)
            let answering = Task { try await bench.complete(try await bench.claim(.manifests), Self.fetched) }
            defer { answering.cancel() }
            #expect(try await staying.value == Self.fetched)
        }
    }

    @Test("a failure is handed on, and isn't remembered")
    func failed() async throws {
        try await PullBench.with { bench in
            let latest = try Self.latest(bench)
            let failure = FetchFailure(.rateLimited, "slow down", retryAfterSeconds: 9, upstreamStatus: 429)
            let first = Task { try await bench.desk.fetch(latest) }
            try await bench.fail(try await bench.claim(.manifests), failure)
            await #expect(throws: failure) { try await first.value }
            let second = Task { try await bench.desk.fetch(latest) }
            try await bench.complete(try await bench.claim(.manifests), Self.fetched)
            #expect(try await second.value == Self.fetched)
        }
    }

    @Test("different references are different asks")
    func different() async throws {
        try await PullBench.with { bench in
            let latest = try Self.latest(bench)
            let byDigest = ManifestFetch(
                organization: latest.organization,
                config: .sample,
                repository: latest.repository,
                reference: .digest(Self.fetched.digest)
            )
            let (one, two) = (
                Task { try await bench.desk.fetch(latest) }, Task { try await bench.desk.fetch(byDigest) }
            )
            for _ in 0..<2 {
                let job = try await bench.claim(.manifests)
                let isTag = try JSONText.decode(ManifestFetch.self, job.payload) == latest
                try await bench.complete(job, ManifestFetched(digest: Self.fetched.digest, isNew: isTag))
            }
            #expect(try await one.value.isNew)
            #expect(try await !two.value.isNew)
        }
    }

    @Test("without a fetcher the client is told so in time")
    func deadline() async throws {
        try await PullBench.with(manifestDeadline: .milliseconds(100)) { bench in
            let latest = try Self.latest(bench)
            let failure = await #expect(throws: FetchFailure.self) { try await bench.desk.fetch(latest) }
            #expect(failure?.cause == .timeout)
            #expect(failure?.message.contains("team/app:latest") == true)
        }
    }

    @Test("who has something else to serve doesn't wait for an ask that has become old, whoever began it")
    func impatient() async throws {
        try await PullBench.with(patience: .milliseconds(100)) { bench in
            let latest = try Self.latest(bench)
            let patient = Task { try await bench.desk.fetch(latest) }
            let job = try await bench.claim(.manifests)
            for _ in 0..<2 {
                await #expect(throws: DeadlineExceeded.self) { try await bench.desk.fetch(latest, isPatient: false) }
            }
            try await bench.complete(job, Self.fetched)
            #expect(try await patient.value == Self.fetched)
        }
    }

    @Test("a job that was removed before its verdict was read is the cache's own failure")
    func removed() async throws {
        try await PullBench.with { bench in
            let latest = try Self.latest(bench)
            let ask = Task { try await bench.desk.fetch(latest) }
            _ = try await bench.claim(.manifests)
            try await bench.client.query("DELETE FROM job")
            let failure = await #expect(throws: FetchFailure.self) { try await ask.value }
            #expect(failure?.cause == .cache)
        }
    }
}
