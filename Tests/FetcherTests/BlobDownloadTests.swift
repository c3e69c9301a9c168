// SPDX-License-Identifier: Apache-2.0

import Blobs
import HTTPTypes
import Models
import OCI
import TestSupport
import Testing

@testable import Fetcher

@Suite("Blob download")
struct BlobDownloadTests {
    private static let size: Int64 = 400_000

    /// Runs `body` with a download of a blob that upstream has, of which the first bytes are stored.
    private func with(
        size: Int64 = Self.size,
        declared: Int64? = nil,
        stored: Int64 = 0,
        validator: String? = nil,
        algorithm: Digest.Algorithm = .sha256,
        _ body: (FetchBench, DownloadBench) async throws -> Void
    ) async throws {
        let bench = try FetchBench(size: size, algorithm: algorithm)
        let writer = try bench.writer(holding: stored)
        try await ScriptedUpstream.with { upstream in
            bench.offer(at: upstream)
            try await body(
                bench,
                try DownloadBench(bench, from: upstream, into: writer, validator: validator, size: declared)
            )
        }
    }

    private func expectWhole(_ bench: FetchBench, _ download: DownloadBench) throws {
        #expect(try download.writer.bytes(0..<bench.blob.size + 1) == bench.blob.bytes)
    }

    @Test("a blob is asked for once and arrives as it is", arguments: Digest.Algorithm.allCases)
    func whole(_ algorithm: Digest.Algorithm) async throws {
        try await with(algorithm: algorithm) { bench, download in
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges == [nil])
            #expect(download.remembered.all.isEmpty)
        }
    }

    @Test("a transfer that breaks off is resumed where it broke off", arguments: [0, 1, 100_000, 399_999] as [Int64])
    func resumed(_ cut: Int64) async throws {
        try await with { bench, download in
            download.upstream.fault("/blobs/", .truncate(after: cut, reset: false), times: 1)
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges == [nil, cut == 0 ? nil : "bytes=\(cut)-"])
            #expect(download.conditions == [nil, cut == 0 ? nil : "\"\(bench.digest)\""], "it may have changed")
            #expect(download.remembered.all == ["\"\(bench.digest)\""], "for the next worker")
        }
    }

    @Test("a connection that is reset loses nothing that was stored")
    func reset() async throws {
        try await with { bench, download in
            download.upstream.fault("/blobs/", .truncate(after: 150_000, reset: true), times: 2)
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges.count == 3)
        }
    }

    @Test("an upstream that cuts every transfer short is asked as long as each one brings something")
    func manyCuts() async throws {
        try await with { bench, download in
            download.upstream.fault("/blobs/", .truncate(after: 60_000, reset: false))
            let digest = try await download.run()
            #expect(digest == bench.digest)
            let offsets = (1...6).map { "bytes=\($0 * 60_000)-" }
            #expect(download.ranges == [nil] + offsets)
            #expect(download.remembered.all.count == 1, "the entity tag stayed the same")
        }
    }

    @Test("the partial of a dead worker is gone on with, under the condition that nothing changed")
    func takenOver() async throws {
        let tag = "\"\(try FetchBench(size: Self.size).digest)\""
        try await with(stored: 150_000, validator: tag) { bench, download in
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges == ["bytes=150000-"])
            #expect(download.conditions == [tag])
        }
    }

    @Test("what upstream has changed it sends again from its beginning")
    func changed() async throws {
        try await with(stored: 150_000, validator: "\"old\"") { bench, download in
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.conditions == ["\"old\""])
        }
    }

    @Test("an upstream that ignores Range is read past what is stored")
    func ignoredRange() async throws {
        try await with { bench, download in
            download.upstream.fault("/blobs/", .truncate(after: 250_000, reset: false), times: 1)
            download.upstream.fault("/blobs/", .ignoreRange)
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges == [nil, "bytes=250000-"])
        }
    }

    @Test("a page in the blob's place has another length: it is asked for again", arguments: [0, 150_000] as [Int64])
    func page(_ stored: Int64) async throws {
        try await with(stored: stored) { bench, download in
            let page = Array("<html>Back soon</html>".utf8)
            download.upstream.fault("/blobs/", .answer(200, [.contentType: "text/html"], page), times: 1)
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges == [stored == 0 ? nil : "bytes=\(stored)-", nil])
        }
    }

    /// Answers to a Range which aren't the part that was asked for.
    private static let refusals: [(status: Int, headers: HTTPFields)] = [
        (416, [:]), (206, [:]), (206, [.contentRange: "bytes 0-399999/400000"]),
        (206, [.contentRange: "bytes 150000-399999/500000"]),
    ]

    @Test("an upstream that can't send a part is asked for everything, and read past what is stored", arguments: 0..<4)
    func refusedRange(_ number: Int) async throws {
        try await with { bench, download in
            let (status, headers) = Self.refusals[number]
            download.upstream.fault("/blobs/", .truncate(after: 150_000, reset: false), times: 1)
            download.upstream.fault("/blobs/", .answer(status, headers, bench.blob.bytes), times: 1)
            // Even if it breaks off again, and refuses again.
            download.upstream.fault("/blobs/", .truncate(after: 250_000, reset: false), times: 1)
            download.upstream.fault("/blobs/", .answer(status, headers, bench.blob.bytes), times: 1)
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
            #expect(download.ranges == [nil, "bytes=150000-", nil, "bytes=250000-", nil])
        }
    }

    @Test("a fill, which is patient only once, gets past a refused part, too")
    func refusedRangeOfFill() async throws {
        try await with(stored: 150_000) { bench, download in
            var fill = download
            fill.maximumFruitlessTries = 1
            download.upstream.fault("/blobs/", .answer(416, [:], []), times: 1)
            let digest = try await fill.run()
            #expect(digest == bench.digest)
            try expectWhole(bench, download)
        }
    }

    @Test("an upstream that says no size is believed by the digest alone")
    func chunked() async throws {
        try await with { bench, download in
            download.upstream.fault("/blobs/", .chunked)
            #expect(try await download.run() == bench.digest)
            try expectWhole(bench, download)
        }
    }

    @Test("a partial that is whole is only hashed")
    func complete() async throws {
        try await with(stored: Self.size) { bench, download in
            let digest = try await download.run()
            #expect(digest == bench.digest)
            #expect(download.ranges.isEmpty)
        }
    }

    @Test("a blob of no bytes is asked for, since upstream must have it")
    func empty() async throws {
        try await with(size: 0) { bench, download in
            let digest = try await download.run()
            #expect(digest == bench.digest)
            #expect(download.ranges == [nil])
        }
        try await with(size: 0) { _, download in
            download.upstream.fault("/blobs/", .answer(404, [:], []))
            await expect(.notFound) { _ = try await download.run() }
        }
    }

    @Test("bytes that were changed on the way have another digest", arguments: [0, 199_999, 399_999] as [Int64])
    func corrupt(_ offset: Int64) async throws {
        try await with { bench, download in
            download.upstream.fault("/blobs/", .corrupt(at: offset))
            let digest = try await download.run()
            #expect(digest != bench.digest)
            #expect(download.writer.storedBytes == Self.size)
        }
    }

    @Test("a wrong byte that a dead worker stored is found, too")
    func corruptLeftover() async throws {
        let bench = try FetchBench(size: Self.size)
        let writer = try bench.writer()
        try writer.append([bench.blob.bytes[0] ^ 1] + bench.blob.bytes(1..<100_000))
        try await ScriptedUpstream.with { upstream in
            bench.offer(at: upstream)
            let digest = try await DownloadBench(bench, from: upstream, into: writer).run()
            #expect(digest != bench.digest)
        }
    }
}
