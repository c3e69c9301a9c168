// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import Waiting

/// Those who wait run in tasks of their own where they are to be cancelled, or to wait while the room changes.
@Suite("Waiting rooms", .timeLimit(.minutes(1)))
struct WaitingRoomTests {
    private struct Closed: Error {}

    /// Waits for a number that is as large as what was asked for; nobody gets one below zero.
    private let room = WaitingRoom<Int, Int, Int>(0) { wanted, state in
        if state < 0 { return .failure(Closed()) }
        return state >= wanted ? .success(state) : nil
    }

    @Test("what is known is answered at once, but not to who is cancelled")
    func known() async throws {
        room.update { $0 = 3 }
        #expect(room.state == 3)
        #expect(try await room.answer(to: 3) == 3)
        let task = Task { [room] in
            withUnsafeCurrentTask { $0?.cancel() }
            return try await room.answer(to: 2)
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("a change answers those whose question it settles; the others wait on")
    func change() async throws {
        let answers = Journal<Int>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for wanted in [1, 2, 9] {
                group.addTask { [room] in answers.note(try await room.answer(to: wanted)) }
            }
            room.update { $0 = 2 }
            for _ in 1...2 { try await group.next() }
            #expect(answers.entries == [2, 2])
            room.update { $0 = 9 }
            try await group.next()
            #expect(answers.entries == [2, 2, 9])
        }
    }

    @Test("an error is an answer, too")
    func failure() async throws {
        let waiter = Task { [room] in try await room.answer(to: 1) }
        room.update { $0 = -1 }
        await #expect(throws: Closed.self) { try await waiter.value }
        await #expect(throws: Closed.self) { try await room.answer(to: 0) }
    }

    @Test("who is cancelled stops waiting, and nobody else does")
    func cancel() async throws {
        let (leaver, other) = (
            Task { [room] in try await room.answer(to: 1) }, Task { [room] in try await room.answer(to: 1) }
        )
        leaver.cancel()
        await #expect(throws: CancellationError.self) { try await leaver.value }
        room.update { $0 = 1 }
        #expect(try await other.value == 1)
    }
}
