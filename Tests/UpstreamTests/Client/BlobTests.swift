// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Blobs from upstream")
struct BlobTests {
    private static let size: Int64 = 300_000
    private static let image = ImageFixture.single(seed: 11, size: size)
    private static let digest = image.blobs[1].digest
    private static let tag = "\"\(digest)\""
    private static let whole = BlobStart(offset: 0, validator: nil)

    private static func bytes(from offset: Int64 = 0) -> [UInt8] { image.blobs[1].bytes(offset..<size) }

    /// Runs `body` with an upstream that has the blob.
    private func withBlob(
        deadlines: UpstreamClient.Deadlines = .init(),
        _ body: (ScriptedUpstream, UpstreamClient, UpstreamRepository, CollectingSink) async throws -> Void
    ) async throws {
        try await withUpstream(deadlines: deadlines) { upstream, client, repository in
            upstream.add(Self.image, to: "org/app")
            try await body(upstream, client, repository, CollectingSink())
        }
    }

    @Test("a blob comes whole, with its size and its entity tag first")
    func wholeBlob() async throws {
        try await withBlob { upstream, client, repository, sink in
            try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            #expect(sink.bytes == Self.bytes())
            #expect(sink.transfers == [BlobTransfer(offset: 0, totalBytes: Self.size, validator: Self.tag)])
            let request = try #require(upstream.requests.first)
            #expect("\(request.method) \(request.path)" == "GET /v2/org/app/blobs/\(Self.digest)")
            #expect(request.headers[.range] == nil)
            #expect(request.headers[.ifRange] == nil)
            #expect(request.headers[.acceptEncoding] == "identity")
            #expect(upstream.requests.count == 1)
        }
    }

    @Test("a blob whose size upstream doesn't say comes whole too")
    func withoutLength() async throws {
        try await withBlob { upstream, client, repository, sink in
            upstream.fault("GET ", .chunked)
            try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            #expect(sink.bytes == Self.bytes())
            #expect(sink.transfers.map(\.totalBytes) == [nil])
        }
    }

    @Test(
        "only a strong entity tag can be resumed by",
        arguments: ["W/\"x\"", "x", "\"x", "", "\"\(String(repeating: "x", count: 600))\""]
    )
    func weakTag(_ tag: String) async throws {
        try await withBlob { upstream, client, repository, sink in
            upstream.fault("GET ", .setHeader(.eTag, tag))
            try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            #expect(sink.transfers.map(\.validator) == [nil])
        }
    }

    // MARK: - Resuming

    @Test("a resumed blob goes on where it stopped, if it is still the same")
    func resumed() async throws {
        try await withBlob { upstream, client, repository, sink in
            let start = BlobStart(offset: 123_456, validator: Self.tag)
            try await client.blob(Self.digest, in: repository, from: start, into: sink)
            #expect(sink.bytes == Self.bytes(from: 123_456))
            #expect(sink.transfers == [BlobTransfer(offset: 123_456, totalBytes: Self.size, validator: Self.tag)])
            let request = try #require(upstream.requests.first)
            #expect(request.headers[.range] == "bytes=123456-")
            #expect(request.headers[.ifRange] == Self.tag)
        }
    }

    @Test("without an entity tag a blob is resumed without a condition")
    func unconditional() async throws {
        try await withBlob { upstream, client, repository, sink in
            let start = BlobStart(offset: 1, validator: nil)
            try await client.blob(Self.digest, in: repository, from: start, into: sink)
            #expect(sink.bytes == Self.bytes(from: 1))
            #expect(upstream.requests.first?.headers[.ifRange] == nil)
        }
    }

    @Test("a blob that has changed, or whose upstream knows no ranges, begins anew", arguments: [true, false])
    func startsOver(_ hasChanged: Bool) async throws {
        try await withBlob { upstream, client, repository, sink in
            if !hasChanged { upstream.fault("GET ", .ignoreRange) }
            let start = BlobStart(offset: 1_000, validator: hasChanged ? "\"other\"" : Self.tag)
            try await client.blob(Self.digest, in: repository, from: start, into: sink)
            #expect(sink.bytes == Self.bytes())
            #expect(sink.transfers.map(\.offset) == [0])
        }
    }

    @Test(
        "another part than the one asked for is a failure, and none of it is taken",
        arguments: [
            "bytes 0-299999/300000", "bytes 999-299999/300000", "bytes 1001-299999/300000", "bytes 1000-999/300000",
            "bytes 1000-299999/299999", "bytes */300000", "bytes 1000-299999", "items 1000-299999/300000", "", nil,
        ] as [String?]
    )
    func wrongPart(_ contentRange: String?) async throws {
        try await withBlob { upstream, client, repository, sink in
            upstream.fault("GET ", contentRange.map { .setHeader(.contentRange, $0) } ?? .removeHeader(.contentRange))
            let start = BlobStart(offset: 1_000, validator: Self.tag)
            let failure = try await failure {
                try await client.blob(Self.digest, in: repository, from: start, into: sink)
            }
            #expect(failure.cause == .upstreamError)
            #expect(failure.upstreamStatus == 206)
            #expect(sink.transfers.isEmpty)
            #expect(sink.bytes.isEmpty)
        }
    }

    @Test("a part that nobody asked for is a failure")
    func unaskedPart() async throws {
        try await withBlob { upstream, client, repository, sink in
            upstream.fault("GET ", .answer(206, [.contentRange: "bytes 5-9/10"], Array("12345".utf8)))
            let failure = try await failure {
                try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(failure.cause == .upstreamError)
            #expect(sink.bytes.isEmpty)
        }
    }

    // MARK: - What goes wrong

    @Test("a blob that breaks off is upstream's failure; what came before was delivered", arguments: [true, false])
    func truncated(_ isReset: Bool) async throws {
        try await withBlob { upstream, client, repository, sink in
            upstream.fault("GET ", .truncate(after: 100_000, reset: isReset))
            let failure = try await failure {
                try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(failure.cause == .upstreamError)
            #expect(sink.transfers.count == 1)
            // A reset may throw away what is still on its way.
            #expect(isReset || sink.bytes.count == 100_000)
            #expect(Self.bytes().starts(with: sink.bytes))
        }
    }

    @Test("a blob that stands still is too slow")
    func stalled() async throws {
        let gate = Gate()
        var deadlines = UpstreamClient.Deadlines()
        deadlines.idle = .seconds(10)
        try await withBlob(deadlines: deadlines) { upstream, client, repository, sink in
            upstream.fault("GET ", .stall(after: 1_000, gate))
            let failure = try await failure {
                try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(failure.cause == .timeout)
            #expect(sink.bytes == Array(Self.bytes().prefix(1_000)))
            gate.open()
        }
    }

    @Test("a blob may take longer than small objects may")
    func slow() async throws {
        let gate = Gate()
        var deadlines = UpstreamClient.Deadlines()
        deadlines.smallObject = .milliseconds(50)
        try await withBlob(deadlines: deadlines) { upstream, client, repository, sink in
            upstream.fault("/blobs/", .stall(after: 1_000, gate))
            upstream.fault("/manifests/", .stall(after: 10, gate))
            async let blob: Void = client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            try await eventually("the blob stands still") { gate.arrivals == 1 }
            // A manifest that was begun later has passed its deadline: so has the blob's time.
            let reference = Reference.digest(Self.image.digest)
            let failure = try await failure { _ = try await client.manifest(reference, in: repository) }
            #expect(failure.cause == .timeout)
            gate.open()
            try await blob
            #expect(sink.bytes == Self.bytes())
        }
    }

    @Test("what the sink throws reaches the caller unchanged")
    func refusingSink() async throws {
        struct DiskIsFull: Error {}
        try await withBlob { _, client, repository, _ in
            let sink = CollectingSink(onWrite: { throw DiskIsFull() })
            await #expect(throws: DiskIsFull.self) {
                try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            }
        }
    }

    @Test(
        "a refusal is its cause, however large its page is, and none of it is the blob",
        arguments: [
            (401, .denied), (403, .denied), (404, .notFound), (410, .notFound), (416, .upstreamError),
            (429, .rateLimited), (500, .upstreamError), (503, .upstreamError),
        ] as [(Int, FetchFailure.Cause)],
        [0, 1_000, 5_000_000]
    )
    func refused(_ refusal: (Int, FetchFailure.Cause), _ pageBytes: Int) async throws {
        try await withBlob { upstream, client, repository, sink in
            let page = [UInt8](repeating: 0x20, count: pageBytes)
            upstream.fault("GET ", .answer(refusal.0, [.retryAfter: "9"], page))
            let failure = try await failure {
                try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(failure.cause == refusal.1)
            #expect(failure.upstreamStatus == refusal.0)
            #expect(failure.retryAfterSeconds == 9)
            #expect(sink.transfers.isEmpty)
            #expect(sink.bytes.isEmpty)
        }
    }

    // MARK: - Redirects

    @Test(
        "a blob may be at another host, and only its bytes are taken, however large the page is that leads there",
        arguments: [0, 123_456],
        [0, 1_000, 5_000_000]
    )
    func redirected(_ offset: Int64, _ pageBytes: Int) async throws {
        try await ScriptedUpstream.with { storage in
            storage.add(Self.image, to: "store")
            try await withBlob { upstream, client, repository, sink in
                let url = storage.url + "/v2/store/blobs/\(Self.digest)"
                upstream.fault("/blobs/", .answer(307, [.location: url], [UInt8](repeating: 0x3C, count: pageBytes)))
                let start = BlobStart(offset: offset, validator: offset > 0 ? Self.tag : nil)
                try await client.blob(Self.digest, in: repository, from: start, into: sink)
                #expect(sink.bytes == Self.bytes(from: offset))
                #expect(sink.transfers.map(\.offset) == [offset])
                let request = try #require(storage.requests.first)
                #expect(request.headers[.range] == (offset > 0 ? "bytes=\(offset)-" : nil))
                #expect(request.headers[.ifRange] == start.validator)
            }
        }
    }

    @Test("redirects in a circle come to an end")
    func circle() async throws {
        try await withBlob { upstream, client, repository, sink in
            upstream.fault("/blobs/", .redirect("?again", status: 307))
            let failure = try await failure {
                try await client.blob(Self.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(failure.cause == .upstreamError)
            #expect(upstream.requests.count == 6)
        }
    }
}
