// SPDX-License-Identifier: Apache-2.0

import Synchronization
import TestSupport
import Testing

@testable import PullThrough

@Suite("Coalescer")
struct CoalescerTests {
    private struct Refusal: Error, Equatable {}

    @Test("many who ask at once cause the work once, and one who asks later causes it again")
    func shares() async throws {
        let coalescer = Coalescer<String, Int>()
        let gate = Gate()
        let works = Atomic(0)
        let begun = Atomic(0)
        let ask: @Sendable () async throws -> Int = {
            begun.add(1, ordering: .relaxed)
            return try await coalescer.value(for: "key") {
                works.add(1, ordering: .relaxed)
                await gate.pass()
                return 7
            }
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<20 { group.addTask { try await ask() } }
            try await eventually("the work has begun, and all have come") {
                gate.arrivals > 0 && begun.load(ordering: .relaxed) == 20
            }
            gate.open()
            for try await value in group { #expect(value == 7) }
        }
        let burst = works.load(ordering: .relaxed)
        // Those who came after the gate was open may have begun anew; before it was, nobody could.
        #expect(burst < 20)
        #expect(try await ask() == 7)
        #expect(works.load(ordering: .relaxed) == burst + 1)
    }

    @Test("different keys don't wait for each other, and a failure reaches those who shared it")
    func failures() async throws {
        let coalescer = Coalescer<String, Int>()
        await #expect(throws: Refusal.self) { _ = try await coalescer.value(for: "bad") { throw Refusal() } }
        #expect(try await coalescer.value(for: "bad") { 1 } == 1)
        #expect(try await coalescer.value(for: "outer") { try await coalescer.value(for: "inner") { 2 } } == 2)
    }

    @Test("when the one who does the work is cancelled, another one does it")
    func cancelled() async throws {
        let coalescer = Coalescer<String, Int>()
        let gate = Gate()
        let first = Task {
            try await coalescer.value(for: "key") {
                await gate.pass()
                try Task.checkCancellation()
                return 1
            }
        }
        try await eventually("the first works") { gate.arrivals == 1 }
        let isThere = Gate()
        let second = Task {
            isThere.open()
            return try await coalescer.value(for: "key") { 2 }
        }
        await isThere.pass()
        // It has begun; that it waits by now can't be seen, and isn't needed.
        try await Task.sleep(for: .milliseconds(20))
        first.cancel()
        gate.open()
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(try await second.value == 2)
    }
}
