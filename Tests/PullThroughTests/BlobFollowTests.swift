// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import TestSupport
import Testing

@testable import PullThrough

@Suite("Blob follow")
struct BlobFollowTests {
    private static let heldBack: Int64 = StreamRules.heldBackBytes
    private let reader = MemoryPartial()

    private func follow(_ size: Int64, stallDeadline: Duration = .seconds(60)) throws -> BlobFollow {
        BlobFollow(fetch: try .sample(size: size), stallDeadline: stallDeadline)
    }

    private func progress(_ storedBytes: Int64, isVerified: Bool = false) -> PartialProgress {
        PartialProgress(storedBytes: storedBytes, isVerified: isVerified)
    }

    /// Readers that have at least begun to wait.
    private func readers(
        _ count: Int,
        of follow: BlobFollow,
        beyond offset: Int64
    ) async -> [Task<BlobFollow.Window, any Error>] {
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let tasks = (0..<count).map { _ in
            Task {
                begin.yield()
                return try await follow.window(beyond: offset)
            }
        }
        var iterator = begun.makeAsyncIterator()
        for _ in 0..<count { _ = await iterator.next() }
        return tasks
    }

    @Test("a reader waits for bytes beyond its offset, and then may have all that there are")
    func waits() async throws {
        let follow = try follow(1_000_000)
        await expectWaiting { try await follow.window(beyond: 0) }
        follow.arriving(reader, progress(100))
        #expect(try await follow.window(beyond: 0).end == 100)
        #expect(try await follow.window(beyond: 99).end == 100)
        await expectWaiting { try await follow.window(beyond: 100) }
        let waiting = await readers(3, of: follow, beyond: 100)
        follow.arriving(reader, progress(101))
        follow.arriving(reader, progress(5_000))
        for task in waiting {
            let window = try await task.value
            #expect(window.end > 100)
            #expect(window.source === reader)
        }
    }

    @Test("the last bytes are held back until the digest is known to be right")
    func heldBack() async throws {
        let follow = try follow(1_000_000)
        follow.arriving(reader, progress(1_000_000))
        #expect(try await follow.window(beyond: 0).end == 1_000_000 - Self.heldBack)
        await expectWaiting { try await follow.window(beyond: 1_000_000 - Self.heldBack) }
        let waiting = await readers(2, of: follow, beyond: 1_000_000 - Self.heldBack)
        follow.arriving(reader, progress(1_000_000, isVerified: true))
        for task in waiting { #expect(try await task.value.end == 1_000_000) }
    }

    @Test(
        "a blob that is no larger than that is held back as a whole",
        arguments: [1, 1_000, StreamRules.heldBackBytes]
    )
    func heldBackWhole(_ size: Int64) async throws {
        let follow = try follow(size)
        follow.arriving(reader, progress(size))
        await expectWaiting { try await follow.window(beyond: 0) }
        await expectWaiting { try await follow.beginning() }
        follow.arriving(reader, progress(size, isVerified: true))
        try await follow.beginning()
        #expect(try await follow.window(beyond: 0).end == size)
    }

    @Test("upstream has begun when the first byte of a larger blob is there")
    func beginning() async throws {
        let follow = try follow(Self.heldBack + 1)
        await expectWaiting { try await follow.beginning() }
        async let beginning: Void = follow.beginning()
        follow.arriving(reader, progress(1))
        try await beginning
        try await follow.beginning()
        await expectWaiting { try await follow.window(beyond: 1) }
    }

    @Test("a blob that turns out to be stored answers every question")
    func present() async throws {
        let follow = try follow(1_000_000)
        let waiting = await readers(2, of: follow, beyond: 999_999)
        async let beginning: Void = follow.beginning()
        let stored = MemoryPartial()
        follow.present(stored)
        try await beginning
        for task in waiting {
            let window = try await task.value
            #expect(window.source === stored)
            #expect(window.end == 1_000_000)
        }
    }

    @Test("a failure reaches all who wait, and all who come")
    func failure() async throws {
        let follow = try follow(1_000_000)
        let failure = FetchFailure(.rateLimited, "upstream limits our rate", retryAfterSeconds: 7)
        let (early, late) = (await readers(5, of: follow, beyond: 0), await readers(5, of: follow, beyond: 900_000))
        let beginning = Task { try await follow.beginning() }
        follow.failed(failure)
        for task in early + late { await #expect(throws: failure) { try await task.value } }
        await #expect(throws: failure) { try await beginning.value }
        await #expect(throws: failure) { try await follow.window(beyond: 0) }
    }

    @Test("bytes that arrived before a failure aren't served after it")
    func failureAfterBytes() async throws {
        let follow = try follow(1_000_000)
        follow.arriving(reader, progress(500_000))
        follow.failed(FetchFailure(.badContent, "other bytes"))
        await #expect(throws: FetchFailure.self) { try await follow.window(beyond: 0) }
    }

    @Test("a reader that leaves takes nobody with it")
    func cancellation() async throws {
        let follow = try follow(1_000_000)
        let waiting = await readers(6, of: follow, beyond: 10)
        for task in waiting[..<3] { task.cancel() }
        for task in waiting[..<3] { await #expect(throws: CancellationError.self) { try await task.value } }
        follow.arriving(reader, progress(20))
        for task in waiting[3...] { #expect(try await task.value.end == 20) }
    }

    @Test("a reader that had left before it asked isn't answered")
    func cancelledBefore() async throws {
        let follow = try follow(1_000_000)
        follow.arriving(reader, progress(20))
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await follow.window(beyond: 0)
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("a fetch that stands still fails, and says where")
    func stall() async throws {
        let follow = try follow(1_000_000, stallDeadline: .seconds(2))
        let silent = await #expect(throws: FetchFailure.self) { try await follow.beginning() }
        #expect(silent?.cause == .timeout)
        #expect(silent?.message.contains("no byte of blob \(follow.fetch.digest)") == true)
        follow.arriving(reader, progress(123))
        let stalled = await #expect(throws: FetchFailure.self) { try await follow.window(beyond: 123) }
        #expect(stalled?.cause == .timeout)
        #expect(stalled?.message.contains("\(follow.fetch.digest) stopped at byte 123") == true)
        follow.arriving(reader, progress(124))
        #expect(try await follow.window(beyond: 123).end == 124, "one reader's patience isn't another's")
    }

    @Test("a reader that is far ahead waits as long as bytes come")
    func farAhead() async throws {
        let deadline = Duration.seconds(6)
        let follow = try follow(1_000_000, stallDeadline: deadline)
        async let window = follow.window(beyond: 900_000)
        let end = ContinuousClock.now + deadline * 3 / 2
        var stored: Int64 = 0
        // Time passes because it is what this is about; nothing is waited for.
        while ContinuousClock.now < end {
            stored += 1
            follow.arriving(reader, progress(stored))
            try await Task.sleep(for: .milliseconds(2))
        }
        follow.arriving(reader, progress(1_000_000, isVerified: true))
        #expect(try await window.end == 1_000_000)
    }

    @Test("being told the same again isn't progress")
    func noProgress() async throws {
        let follow = try follow(1_000_000, stallDeadline: .milliseconds(50))
        follow.arriving(reader, progress(10))
        let telling = Task {
            while !Task.isCancelled {
                follow.arriving(reader, progress(10))
                try? await Task.sleep(for: .milliseconds(2))  // cancellation ends the loop
            }
        }
        defer { telling.cancel() }
        let failure = await #expect(throws: FetchFailure.self) { try await follow.window(beyond: 10) }
        #expect(failure?.cause == .timeout)
    }

    @Test("a fetch that began anew is told by its new source, and waits for what it hasn't yet")
    func restart() async throws {
        let follow = try follow(1_000_000)
        let (first, second) = (MemoryPartial(), MemoryPartial())
        follow.arriving(first, progress(500_000))
        #expect(try await follow.window(beyond: 0).source === first)
        let waiting = await readers(1, of: follow, beyond: 500_000)
        follow.arriving(second, progress(1_000))
        await expectWaiting { try await follow.window(beyond: 500_000) }
        let early = try await follow.window(beyond: 0)
        #expect(early.source === second)
        #expect(early.end == 1_000)
        follow.arriving(second, progress(600_000))
        let window = try await #require(waiting.first).value
        #expect(window.source === second)
        #expect(window.end == 600_000)
    }

    @Test("the last reader that leaves is known")
    func readerCount() throws {
        let follow = try follow(1)
        #expect(!follow.hasReaders)
        follow.addReader()
        follow.addReader()
        #expect(follow.hasReaders)
        #expect(!follow.removeReader())
        #expect(follow.hasReaders)
        #expect(follow.removeReader())
        #expect(!follow.hasReaders)
    }
}
