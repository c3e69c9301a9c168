// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import TestSupport
import Testing

@testable import Fetcher

@Suite("Partial hasher")
struct PartialHasherTests {
    @Test("a partial is hashed while it grows", arguments: Digest.Algorithm.allCases, [1, 65_537, 300_000])
    func growing(_ algorithm: Digest.Algorithm, _ step: Int64) async throws {
        let size = min(900_001, step * 40)
        let bench = try FetchBench(size: size, algorithm: algorithm)
        let writer = try bench.writer()
        let hasher = PartialHasher(writer, algorithm: algorithm)
        for offset in stride(from: 0, to: size, by: Int(step)) {
            try writer.append(bench.blob.bytes(offset..<min(offset + step, size)))
            hasher.advance()
        }
        #expect(try await hasher.finish() == bench.digest)
    }

    @Test("a partial that was taken over is hashed from its first byte")
    func takenOver() async throws {
        let bench = try FetchBench(size: 600_000)
        try bench.writer(holding: 400_000).close()
        let writer = try #require(
            try bench.storage.resumePartial(bench.digest, bench.generation, expectedBytes: 600_000)
        )
        let hasher = PartialHasher(writer, algorithm: .sha256)
        hasher.advance()
        try writer.append(bench.blob.bytes(400_000..<600_000))
        hasher.advance()
        #expect(try await hasher.finish() == bench.digest)
    }

    @Test("what nobody told it of is hashed in the end")
    func untold() async throws {
        let bench = try FetchBench(size: 600_000)
        let writer = try bench.writer(holding: 600_000)
        #expect(try await PartialHasher(writer, algorithm: .sha256).finish() == bench.digest)
    }

    @Test("a partial without bytes has the digest of no bytes")
    func empty() async throws {
        let bench = try FetchBench(size: 0)
        let hasher = PartialHasher(try bench.writer(), algorithm: .sha256)
        hasher.advance()
        #expect(try await hasher.finish() == Digest.of([UInt8]()))
    }

    @Test("bytes that can't be read back are an error and no digest")
    func unreadable() async throws {
        let bench = try FetchBench(size: 600_000)
        let writer = try bench.writer(holding: 600_000)
        let hasher = PartialHasher(writer, algorithm: .sha256)
        writer.close()
        hasher.advance()
        await #expect(throws: BlobStorageError.self) { try await hasher.finish() }
    }
}
