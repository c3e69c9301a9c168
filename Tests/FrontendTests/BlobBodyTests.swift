// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Frontend
@testable import PullThrough

/// Bodies that are copied; that files are sent without copying shows where there are connections.
@Suite("Blob body")
struct BlobBodyTests {
    private static let size: Int64 = 1_000_000
    private static let released = size - StreamRules.heldBackBytes
    private let bench: FrontendBench

    init() throws { bench = try FrontendBench(size: Self.size) }

    private func progress(_ storedBytes: Int64, isVerified: Bool = false) -> PartialProgress {
        PartialProgress(storedBytes: storedBytes, isVerified: isVerified)
    }

    @Test(
        "a stored blob is sent in pieces that stay small",
        arguments: [0..<1_000_000, 0..<1, 262_143..<900_001] as [Range<Int64>]
    )
    func stored(_ slice: Range<Int64>) async throws {
        let written = try await bench.reply(.stored(try bench.stored()), [.slice(slice)]).written()
        #expect(written.body == bench.blob.bytes(slice))
        #expect(written.isEnded)
        #expect(written.largestPiece <= 256 * 1024)
    }

    @Test("text and slices go out in their order")
    func parts() async throws {
        let parts: [BlobBody.Part] = [
            .text(Array("one\r\n".utf8)), .slice(500..<600), .text(Array("two\r\n".utf8)), .slice(0..<10),
            .text(Array("end".utf8)),
        ]
        let expected =
            Array("one\r\n".utf8) + bench.blob.bytes(500..<600) + Array("two\r\n".utf8) + bench.blob.bytes(0..<10)
            + Array("end".utf8)
        let written = try await bench.reply(.stored(try bench.stored()), parts).written()
        #expect(written.body == expected)
        let handle = try bench.join()
        handle.follow.present(try bench.stored())
        #expect(try await bench.reply(.arriving(handle), parts).written().body == expected)
    }

    @Test("a body of no parts is empty and ends")
    func empty() async throws {
        let written = try await bench.reply(.stored(try bench.stored()), []).written()
        #expect(written.body.isEmpty)
        #expect(written.isEnded)
    }

    @Test("a stored blob that ends before its size cuts the connection")
    func shortened() async throws {
        let reply = bench.reply(.stored(try bench.stored()), [.slice(0..<Self.size + 1)])
        let written = try await reply.written()
        #expect((written.failure as? FetchFailure)?.cause == .cache)
        #expect(!written.isEnded)
    }

    @Test("an arriving blob is sent as it comes, from where the client wants it")
    func arriving() async throws {
        let handle = try bench.join()
        let (writer, reader) = try bench.partial([])
        async let written = bench.reply(.arriving(handle), [.slice(100_000..<Self.size)]).written()
        for offset in stride(from: 0, to: Self.size, by: 90_000) {
            let bytes = bench.blob.bytes(offset..<min(offset + 90_000, Self.size))
            try bytes.withUnsafeBytes { try writer.append($0) }
            handle.follow.arriving(reader, progress(writer.storedBytes))
            await Task.yield()
        }
        try writer.markVerified()
        handle.follow.arriving(reader, try reader.progress())
        #expect(try await written.body == bench.blob.bytes(100_000..<Self.size))
        #expect(try await written.isEnded)
    }

    @Test("a blob that turns out wrong is cut before its last bytes, never ended")
    func neverWhole() async throws {
        let handle = try bench.join()
        let (_, partial) = try bench.partial(bench.blob.bytes)
        let reader = SignallingPartial(partial)
        handle.follow.arriving(reader, progress(Self.size))
        async let written = bench.reply(.arriving(handle), [.slice(0..<Self.size)]).written()
        try await reader.isRead(upTo: Self.released)
        handle.follow.failed(FetchFailure(.badContent, "other bytes"))
        let result = try await written
        #expect((result.failure as? FetchFailure)?.cause == .badContent)
        #expect(!result.isEnded)
        #expect(result.body == bench.blob.bytes(0..<Self.released))
    }

    @Test("a range that lies before the end needs no verified blob")
    func rangeOfUnverified() async throws {
        let handle = try bench.join()
        let (_, reader) = try bench.partial(bench.blob.bytes(0..<500_000))
        handle.follow.arriving(reader, progress(500_000))
        let written = try await bench.reply(.arriving(handle), [.slice(400_000..<500_000)]).written()
        #expect(written.body == bench.blob.bytes(400_000..<500_000))
        #expect(written.isEnded)
    }

    /// Replaces the source while its first bytes are being sent.
    private func restarted(
        with bytes: [UInt8],
        sent first: Int64,
        _ parts: [BlobBody.Part] = [.slice(0..<Self.size)]
    ) async throws -> WrittenReply {
        let handle = try bench.join()
        let (_, old) = try bench.partial(bench.blob.bytes(0..<first))
        let signalling = SignallingPartial(old)
        handle.follow.arriving(signalling, progress(first))
        async let written = bench.reply(.arriving(handle), parts).written()
        try await signalling.isRead(upTo: 1)
        let (_, new) = try bench.partial(bytes)
        handle.follow.arriving(new, progress(Self.size, isVerified: true))
        return try await written
    }

    @Test("a fetch that began anew goes on where the client is, if it has the same bytes")
    func restartedSame() async throws {
        let written = try await restarted(with: bench.blob.bytes, sent: 300_000)
        #expect(written.failure == nil)
        #expect(written.body == bench.blob.bytes)
        #expect(written.isEnded)
    }

    @Test("a fetch that began anew with other bytes is never mixed with the old ones")
    func restartedOther() async throws {
        let written = try await restarted(with: BlobFixture(seed: 2, size: Self.size).bytes, sent: 300_000)
        #expect((written.failure as? FetchFailure)?.cause == .badContent)
        #expect(written.body == bench.blob.bytes(0..<300_000))
        #expect(!written.isEnded)
    }

    /// The second part is none of what the old source has.
    private static let apart: [BlobBody.Part] = [
        .slice(0..<300_000), .text(Array("--".utf8)), .slice(400_000..<500_000),
    ]

    @Test("a part that comes from a fetch that began anew follows those before it, if it has the same bytes")
    func restartedBetweenParts() async throws {
        let written = try await restarted(with: bench.blob.bytes, sent: 300_000, Self.apart)
        #expect(written.failure == nil)
        let expected = bench.blob.bytes(0..<300_000) + Array("--".utf8) + bench.blob.bytes(400_000..<500_000)
        #expect(written.body == expected)
        #expect(written.isEnded)
    }

    @Test("parts of one response never come from fetches with different bytes")
    func restartedBetweenOtherParts() async throws {
        let other = BlobFixture(seed: 2, size: Self.size).bytes
        let written = try await restarted(with: other, sent: 300_000, Self.apart)
        #expect((written.failure as? FetchFailure)?.cause == .badContent)
        #expect(written.body == bench.blob.bytes(0..<300_000) + Array("--".utf8))
        #expect(!written.isEnded)
    }
}

/// Tells how far it was read.
private final class SignallingPartial: PartialReader {
    private let partial: any PartialReader
    private let furthest = Atomic<Int64>(0)

    init(_ partial: any PartialReader) { self.partial = partial }

    func isRead(upTo end: Int64) async throws {
        try await eventually("it is read up to \(end)") { furthest.load(ordering: .relaxed) >= end }
    }

    var descriptor: Int32? { nil }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        let count = try partial.read(into: buffer, at: offset)
        furthest.max(offset + Int64(count), ordering: .relaxed)
        return count
    }

    func progress() throws -> PartialProgress { try partial.progress() }
}
