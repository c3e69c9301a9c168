// SPDX-License-Identifier: Apache-2.0

import Blobs
import HTTPTypes
import Models
import OCI
import TestSupport
import Testing

@testable import Fetcher

@Suite("Blob downloads that fail")
struct BlobDownloadRefusalTests {
    private let bench: FetchBench

    init() throws { bench = try FetchBench(size: 400_000) }

    private func with(
        declared: Int64? = nil,
        _ body: (DownloadBench) async throws -> Void
    ) async throws {
        let writer = try bench.writer()
        try await ScriptedUpstream.with { upstream in
            bench.offer(at: upstream)
            try await body(try DownloadBench(bench, from: upstream, into: writer, size: declared))
        }
    }

    @Test("five tries in a row that bring nothing are enough")
    func fruitless() async throws {
        try await with { download in
            download.upstream.fault("/blobs/", .truncate(after: 100_000, reset: false), times: 1)
            download.upstream.fault("/blobs/", .answer(503, [:], Array("down".utf8)))
            let failure = await expect(.upstreamError) { _ = try await download.run() }
            #expect(failure?.upstreamStatus == 503)
            #expect(download.ranges == [nil] + Array(repeating: "bytes=100000-", count: 5))
            let stored = try download.writer.bytes(0..<400_000)
            #expect(stored == bench.blob.bytes(0..<100_000), "for the next ask")
        }
    }

    @Test(
        "an answer that won't change isn't asked for again",
        arguments: [
            (404, .notFound), (410, .notFound), (401, .denied), (403, .denied), (429, .rateLimited),
        ] as [(Int, FetchFailure.Cause)]
    )
    func final(_ status: Int, _ cause: FetchFailure.Cause) async throws {
        try await with { download in
            download.upstream.fault("/blobs/", .answer(status, [.retryAfter: "7"], Array("no".utf8)))
            let failure = await expect(cause) { _ = try await download.run() }
            #expect(failure?.upstreamStatus == status)
            #expect(failure?.retryAfterSeconds == 7)
            #expect(download.ranges.count == 1)
            #expect(download.writer.storedBytes == 0)
        }
    }

    @Test("an error page is never taken for the blob")
    func errorPage() async throws {
        try await with { download in
            download.upstream.fault("/blobs/", .answer(404, [:], BlobFixture(seed: 9, size: 60_000).bytes))
            await expect(.notFound) { _ = try await download.run() }
            #expect(download.writer.storedBytes == 0)
        }
    }

    @Test("a size that isn't the manifest's is refused after a second try", arguments: [399_999, 400_001] as [Int64])
    func otherSize(_ declared: Int64) async throws {
        try await with(declared: declared) { download in
            await expect(.badContent) { _ = try await download.run() }
            #expect(download.ranges == [nil, nil])
            #expect(download.writer.storedBytes == 0)
        }
    }

    @Test("more bytes than the manifest says end the transfer")
    func tooMuch() async throws {
        try await with(declared: 100_000) { download in
            download.upstream.fault("/blobs/", .chunked)
            await expect(.badContent) { _ = try await download.run() }
            #expect(download.ranges.count == 1)
            #expect(download.writer.storedBytes == 100_000, "full, and not the blob")
        }
    }

    @Test("what has arrived can be read meanwhile, and stays when the worker is told to stop")
    func cancelled() async throws {
        let writer = try bench.writer()
        try await ScriptedUpstream.with { upstream in
            let gate = Gate()
            defer { gate.open() }
            bench.offer(at: upstream)
            upstream.fault("/blobs/", .stall(after: 100_000, gate))
            // At hand, to be cancelled.
            let task = Task { try await DownloadBench(bench, from: upstream, into: writer).run() }
            try await eventually("the first bytes arrive") { writer.storedBytes == 100_000 }
            let reader = try #require(try bench.storage.openPartial(bench.digest, bench.generation))
            #expect(try reader.progress() == PartialProgress(storedBytes: 100_000, isVerified: false))
            #expect(try reader.bytes(0..<400_000) == bench.blob.bytes(0..<100_000))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(writer.storedBytes == 100_000)
            #expect(upstream.count("/blobs/") == 1)
        }
    }

    @Test("a storage that fails ends the download, and upstream isn't blamed")
    func storageFailure() async throws {
        try await with { download in
            download.writer.close()
            await #expect(throws: BlobStorageError.self) { try await download.run() }
            #expect(download.ranges.count == 1)
        }
    }
}
