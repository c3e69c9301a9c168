// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import TestSupport
import Testing

@testable import Fetcher
@testable import Upstream

@Suite("Partial receiver")
struct PartialReceiverTests {
    private let bench: FetchBench

    init() throws { bench = try FetchBench(size: 100_000) }

    private func receiver(_ writer: any PartialWriter, size: Int64? = nil) throws -> PartialReceiver {
        PartialReceiver(
            fetch: try bench.fetch(size: size),
            writer: writer,
            hasher: PartialHasher(writer, algorithm: .sha256)
        )
    }

    private func transfer(from offset: Int64, total: Int64? = nil, validator: String? = nil) -> BlobTransfer {
        BlobTransfer(offset: offset, totalBytes: total, validator: validator)
    }

    /// Hands the bytes of the range over as a transport does: in pieces that fit nothing.
    private func send(_ range: Range<Int64>, to receiver: PartialReceiver, by step: Int64 = 7_001) throws {
        for offset in stride(from: range.lowerBound, to: range.upperBound, by: Int(step)) {
            let bytes = bench.blob.bytes(offset..<min(offset + step, range.upperBound))
            try bytes.withUnsafeBytes { try receiver.write($0) }
        }
    }

    @Test("bytes are stored as they come")
    func whole() throws {
        let writer = try bench.writer()
        let receiver = try receiver(writer)
        try receiver.begin(transfer(from: 0, total: 100_000))
        try send(0..<100_000, to: receiver)
        #expect(try writer.bytes(0..<100_000) == bench.blob.bytes)
    }

    @Test("a part that was asked for is added to what is stored")
    func part() throws {
        let writer = try bench.writer(holding: 60_000)
        let receiver = try receiver(writer)
        try receiver.begin(transfer(from: 60_000, total: 100_000))
        #expect(writer.storedBytes == 60_000)
        try send(60_000..<100_000, to: receiver)
        #expect(try writer.bytes(0..<100_000) == bench.blob.bytes)
    }

    @Test(
        "an upstream that begins again doesn't disturb what is stored",
        arguments: [1, 7_000, 7_001, 7_002, 60_000, 100_000] as [Int64],
        [1_000, 7_001, 100_000] as [Int64]
    )
    func again(_ stored: Int64, _ step: Int64) throws {
        let writer = try bench.writer(holding: stored)
        let receiver = try receiver(writer)
        try receiver.begin(transfer(from: 0, total: 100_000))
        try send(0..<stored, to: receiver, by: step)
        #expect(writer.storedBytes == stored, "only what was stored came")
        try send(stored..<100_000, to: receiver, by: step)
        #expect(try writer.bytes(0..<100_001) == bench.blob.bytes)
    }

    @Test("what clients were sent already stays, even when upstream has other bytes now")
    func otherBytes() throws {
        let writer = try bench.writer(holding: 10)
        let receiver = try receiver(writer)
        try receiver.begin(transfer(from: 0))
        try [UInt8](repeating: 0xAA, count: 12).withUnsafeBytes { try receiver.write($0) }
        #expect(try writer.bytes(0..<12) == bench.blob.bytes(0..<10) + [0xAA, 0xAA])
    }

    @Test("every transfer passes over anew what is stored by then")
    func severalTransfers() throws {
        let writer = try bench.writer()
        let receiver = try receiver(writer)
        for end in [30_000, 50_000, 100_000] as [Int64] {
            try receiver.begin(transfer(from: 0))
            try send(0..<end, to: receiver)
            #expect(writer.storedBytes == end)
        }
        #expect(try writer.bytes(0..<100_000) == bench.blob.bytes)
    }

    @Test("of too many bytes as many are stored as the manifest says", arguments: [0, 50_000] as [Int64])
    func tooMuch(_ stored: Int64) async throws {
        let writer = try bench.writer(holding: stored)
        let receiver = try receiver(writer, size: 60_000)
        try receiver.begin(transfer(from: 0))
        let failure = await expect(.badContent) { try send(0..<100_000, to: receiver) }
        #expect(failure?.message.contains("60000 bytes") == true)
        #expect(failure?.isTemporary == false)
        #expect(try writer.bytes(0..<100_000) == bench.blob.bytes(0..<60_000))
    }

    @Test(
        "a size that isn't the manifest's is refused before the first byte",
        arguments: [0, 99_999, 100_001] as [Int64]
    )
    func otherSize(_ total: Int64) async throws {
        let writer = try bench.writer(holding: 10)
        let receiver = try receiver(writer)
        let failure = await expect(.badContent) {
            try receiver.begin(transfer(from: 10, total: total, validator: "\"a\""))
        }
        #expect(failure?.message.contains("\(total) bytes under \(bench.digest)") == true)
        #expect(writer.storedBytes == 10)
    }

    @Test("the entity tag of the last transfer is known, and none is known when there is none")
    func validator() throws {
        let receiver = try receiver(try bench.writer())
        #expect(receiver.validator == nil)
        try receiver.begin(transfer(from: 0, validator: "\"a\""))
        #expect(receiver.validator == "\"a\"")
        try receiver.begin(transfer(from: 0))
        #expect(receiver.validator == nil)
    }
}
