// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import Waiting

@Suite("Wake-ups", .timeLimit(.minutes(1)))
struct WakeUpTests {
    private let clock = ContinuousClock()
    private let long: Duration = .seconds(3_600)

    @Test("a hint that came before ends the wait at once")
    func before() async {
        let wakeUp = WakeUp()
        wakeUp.wake()
        #expect(await wakeUp.wait(atMost: long))
    }

    @Test("a pause takes its time, and one that is cancelled, before or meanwhile, ends with an error at once")
    func pauses() async throws {
        let start = clock.now
        try await pause(for: .milliseconds(30))
        #expect(clock.now - start >= .milliseconds(30))
        try await pause(for: .zero)
        for isLate in [false, true] {
            let task = Task {
                if isLate { try await pause(for: .milliseconds(1)) }
                try await pause(for: long)
            }
            if isLate { try await pause(for: .milliseconds(5)) }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }

    @Test("hints don't add up")
    func noSum() async {
        let wakeUp = WakeUp()
        for _ in 0..<3 { wakeUp.wake() }
        #expect(await wakeUp.wait(atMost: long))
        #expect(await !wakeUp.wait(atMost: .milliseconds(5)))
    }

    @Test("a hint that has ended a wait is used up")
    func usedUp() async throws {
        let wakeUp = WakeUp()
        for _ in 0..<20 {
            let waiter = Task { await wakeUp.wait(atMost: long) }
            // Either may come first; this lets the wait do so now and then.
            try await clock.sleep(for: .milliseconds(2))
            wakeUp.wake()
            #expect(await waiter.value)
            #expect(await !wakeUp.wait(atMost: .milliseconds(1)))
        }
    }

    @Test("a hint ends the waits of several")
    func during() async {
        let wakeUp = WakeUp()
        let ended = Journal<Bool>()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<5 { group.addTask { [long] in ended.note(await wakeUp.wait(atMost: long)) } }
            // Nobody says when they wait, so the hint is repeated until it has reached all of them.
            while ended.entries.count < 5 {
                wakeUp.wake()
                await Task.yield()
            }
        }
        #expect(ended.entries == [true, true, true, true, true])
    }

    @Test("without a hint a wait ends at its deadline", arguments: [Duration.zero, .seconds(-1), .milliseconds(20)])
    func deadline(_ duration: Duration) async {
        let start = clock.now
        #expect(await !WakeUp().wait(atMost: duration))
        #expect(clock.now - start >= duration)
    }

    @Test("cancellation ends a wait, which then was not woken")
    func cancel() async {
        let wakeUp = WakeUp()
        let waiter = Task { await wakeUp.wait(atMost: long) }
        await Task.yield()
        waiter.cancel()
        #expect(await !waiter.value)
        #expect(await !wakeUp.wait(atMost: .milliseconds(5)), "nothing is left of it")
    }

    @Test("a wait that is cancelled leaves the hint for the next one")
    func hintStays() async {
        let wakeUp = WakeUp()
        wakeUp.wake()
        let waiter = Task {
            while !Task.isCancelled { await Task.yield() }
            return await wakeUp.wait(atMost: long)
        }
        waiter.cancel()
        #expect(await !waiter.value)
        #expect(await wakeUp.wait(atMost: long))
    }
}
