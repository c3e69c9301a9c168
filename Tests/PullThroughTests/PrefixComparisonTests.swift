// SPDX-License-Identifier: Apache-2.0

import PullThrough
import TestSupport
import Testing

@testable import Blobs

@Suite("Prefix comparison")
struct PrefixComparisonTests {
    private static let chunk = 256 * 1024
    private let bytes = BlobFixture(seed: 1, size: 700_000).bytes

    private func changed(at offset: Int) -> MemoryPartial {
        var changed = bytes
        changed[offset] ^= 1
        return MemoryPartial(changed)
    }

    private func isSame(_ left: MemoryPartial, _ right: MemoryPartial, _ range: Range<Int64>) async throws -> Bool {
        try await PrefixComparison.isSame(left, right, in: range)
    }

    @Test(
        "one byte that differs is found, wherever it is",
        arguments: [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 699_999]
    )
    func difference(_ offset: Int) async throws {
        let original = MemoryPartial(bytes)
        #expect(try await !isSame(original, changed(at: offset), 0..<700_000))
        #expect(try await !isSame(changed(at: offset), original, Int64(offset)..<Int64(offset) + 1))
    }

    @Test("bytes outside of the range don't matter")
    func range() async throws {
        let original = MemoryPartial(bytes)
        #expect(try await isSame(original, changed(at: 300_000), 0..<300_000))
        #expect(try await isSame(original, changed(at: 300_000), 300_001..<700_000))
        #expect(try await isSame(original, MemoryPartial(bytes), 0..<700_000))
        #expect(try await isSame(original, MemoryPartial(Array(bytes[..<500_000])), 0..<500_000))
    }

    @Test("nothing is the same as nothing")
    func empty() async throws {
        #expect(try await isSame(MemoryPartial(), MemoryPartial(), 0..<0))
        #expect(try await isSame(MemoryPartial([1]), MemoryPartial([2]), 1..<1))
    }

    @Test("who hasn't the bytes (yet) isn't the same")
    func short() async throws {
        let original = MemoryPartial(bytes)
        let short = MemoryPartial(Array(bytes[..<(Self.chunk + 10)]))
        let range: Range<Int64> = 0..<Int64(Self.chunk + 11)
        #expect(try await !isSame(original, short, range))
        #expect(try await !isSame(short, original, range))
        #expect(try await !isSame(short, short, range), "what can't be read can't be compared")
    }

    @Test("a device that fails is no difference")
    func failure() async {
        let broken = MemoryPartial(bytes, failing: BlobStorageError(.io, "broken"))
        await #expect(throws: BlobStorageError.self) { try await isSame(MemoryPartial(bytes), broken, 0..<10) }
        await #expect(throws: BlobStorageError.self) { try await isSame(broken, MemoryPartial(bytes), 0..<10) }
    }
}
