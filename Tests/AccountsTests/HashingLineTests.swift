// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Accounts

@Suite("The line for hashing", .timeLimit(.minutes(1)))
struct HashingLineTests {
    @Test("who comes to a full line is sent away, who gives up leaves it, and it goes on after that")
    func leaving() async throws {
        let line = HashingLine()
        let (entered, enter) = AsyncStream<Void>.makeStream()
        let (left, leave) = AsyncStream<Void>.makeStream()
        // At hand, to be let go while others wait for it.
        let first = Task {
            try await line.turn(behind: 0) {
                enter.finish()
                for await _ in left {}
            }
        }
        for await _ in entered {}
        await #expect(throws: Authenticator.TooBusy.self) { try await line.turn(behind: 0) {} }
        // At hand, to be cancelled.
        let second = Task { try await line.turn(behind: 1) {} }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        // At hand: it waits while the first one is let go.
        let third = Task { try await line.turn(behind: 1) { 7 } }
        leave.finish()
        try await first.value
        #expect(try await third.value == 7)
        #expect(try await line.turn(behind: 0) { 8 } == 8)
    }
}
