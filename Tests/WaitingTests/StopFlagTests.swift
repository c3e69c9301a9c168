// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing
import Waiting

@Suite("Stop flag", .timeLimit(.minutes(1)))
struct StopFlagTests {
    @Test("everybody who waits is let go when it is set, and whoever comes later doesn't wait")
    func set() async throws {
        let flag = StopFlag()
        let begun = Atomic(0)
        let wait: @Sendable () async -> Bool = {
            begun.add(1, ordering: .relaxed)
            await flag.wait()
            return flag.isSet
        }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 { group.addTask { await wait() } }
            while begun.load(ordering: .relaxed) < 50 { try await Task.sleep(for: .milliseconds(5)) }
            try await Task.sleep(for: .milliseconds(20))  // most of them wait by now
            #expect(!flag.isSet)
            flag.set()
            for try await isSet in group { #expect(isSet) }
        }
        flag.set()
        await flag.wait()
        await flag.wait(atMost: .seconds(600))
        #expect(flag.isSet)
    }

    @Test("whoever is cancelled stops waiting, and the others go on")
    func cancelled() async {
        let flag = StopFlag()
        let patient = Task { await flag.wait() }
        let impatient = Task {
            await flag.wait()
            return flag.isSet
        }
        impatient.cancel()
        #expect(await impatient.value == false)
        flag.set()
        await patient.value
    }

    @Test("a bounded wait ends by itself, at the flag or at its bound")
    func bounded() async {
        let flag = StopFlag()
        let start = ContinuousClock.now
        await flag.wait(atMost: .milliseconds(30))
        #expect(ContinuousClock.now - start >= .milliseconds(30))
        #expect(!flag.isSet)
        let waiting = Task { await flag.wait(atMost: .seconds(600)) }
        flag.set()
        await waiting.value
    }
}
