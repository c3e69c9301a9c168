// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import Waiting

@testable import PullThrough

@Suite("Shared outcome")
struct SharedOutcomeTests {
    /// Waiters that have at least begun; whether they wait already makes no difference to what they must get.
    private func waiters(_ count: Int, on outcome: SharedOutcome<Int>) async -> [Task<Int, any Error>] {
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let tasks = (0..<count).map { _ in
            Task {
                begin.yield()
                return try await outcome.value()
            }
        }
        var iterator = begun.makeAsyncIterator()
        for _ in 0..<count { _ = await iterator.next() }
        return tasks
    }

    @Test("every waiter gets the same value")
    func value() async throws {
        let outcome = SharedOutcome<Int>()
        let tasks = await waiters(50, on: outcome)
        outcome.resolve(.success(7))
        for task in tasks { #expect(try await task.value == 7) }
    }

    @Test("every waiter gets the same error")
    func error() async {
        let outcome = SharedOutcome<Int>()
        let tasks = await waiters(50, on: outcome)
        outcome.resolve(.failure(TestSupportError("broken")))
        for task in tasks {
            let error = await #expect(throws: TestSupportError.self) { try await task.value }
            #expect(error?.description == "broken")
        }
    }

    @Test("who comes after the outcome gets it at once")
    func resolvedBefore() async throws {
        let outcome = SharedOutcome<Int>()
        outcome.resolve(.success(1))
        #expect(try await outcome.value() == 1)
        #expect(try await outcome.value() == 1)
    }

    @Test("the first outcome counts")
    func first() async throws {
        let outcome = SharedOutcome<Int>()
        let tasks = await waiters(2, on: outcome)
        outcome.resolve(.success(1))
        outcome.resolve(.success(2))
        outcome.resolve(.failure(TestSupportError("late")))
        for task in tasks { #expect(try await task.value == 1) }
        #expect(try await outcome.value() == 1)
    }

    @Test("only impatient waiters are told that it takes too long, however late they come")
    func late() async throws {
        let outcome = SharedOutcome<Int>()
        let patient = await waiters(3, on: outcome)
        let impatient = Task { try await outcome.value(isPatient: false) }
        outcome.isLate(TestSupportError("late"))
        await #expect(throws: TestSupportError.self) { try await impatient.value }
        await #expect(throws: TestSupportError.self) { try await outcome.value(isPatient: false) }
        outcome.resolve(.success(3))
        for task in patient { #expect(try await task.value == 3) }
        #expect(try await outcome.value(isPatient: false) == 3)
    }

    @Test("an outcome is never late afterwards")
    func lateAfterwards() async throws {
        let outcome = SharedOutcome<Int>()
        outcome.resolve(.success(3))
        outcome.isLate(TestSupportError("late"))
        #expect(try await outcome.value(isPatient: false) == 3)
    }

    @Test("a waiter that is cancelled leaves the others alone")
    func cancellation() async throws {
        let outcome = SharedOutcome<Int>()
        let tasks = await waiters(9, on: outcome)
        for task in tasks[..<3] { task.cancel() }
        for task in tasks[..<3] { await #expect(throws: CancellationError.self) { try await task.value } }
        outcome.resolve(.success(5))
        for task in tasks[3...] { #expect(try await task.value == 5) }
    }

    @Test("a task that was cancelled before it asked doesn't wait")
    func cancelledBefore() async {
        let outcome = SharedOutcome<Int>()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await outcome.value()
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("waiters that come, go and get their answer at the same time all end")
    func races() async {
        for round in 0..<50 {
            let outcome = SharedOutcome<Int>()
            let tasks = (0..<8).map { _ in Task { try await outcome.value() } }
            async let resolving: Void = outcome.resolve(.success(round))
            for task in tasks[..<4] { task.cancel() }
            await resolving
            for task in tasks[..<4] {
                switch await task.result {
                case .success(let value): #expect(value == round)
                case .failure(let error): #expect(error is CancellationError)
                }
            }
            for task in tasks[4...] { #expect(await (try? task.value) == round) }  // a failure isn't the round
        }
    }
}

@Suite("Deadline")
struct DeadlineTests {
    /// Waits for ever, and tells whether it was cancelled.
    private func waitForEver() async throws {
        try await Task.sleep(for: .seconds(3_600))
    }

    @Test("what comes in time is passed on")
    func inTime() async throws {
        #expect(try await withDeadline(.seconds(60)) { 1 } == 1)
        await #expect(throws: TestSupportError.self) {
            try await withDeadline(.seconds(60)) { throw TestSupportError("broken") }
        }
    }

    @Test("what takes too long is cancelled, and the error says how long that is")
    func tooLong() async throws {
        let (cancellations, report) = AsyncStream.makeStream(of: Bool.self)
        let error = await #expect(throws: DeadlineExceeded.self) {
            try await withDeadline(.milliseconds(10)) {
                do { try await waitForEver() } catch {
                    report.yield(error is CancellationError)
                    throw error
                }
            }
        }
        #expect(error?.duration == .milliseconds(10))
        var iterator = cancellations.makeAsyncIterator()
        #expect(await iterator.next() == true)
    }

    @Test("a deadline of nothing is exceeded")
    func zero() async {
        await #expect(throws: DeadlineExceeded.self) { try await withDeadline(.zero) { try await waitForEver() } }
    }

    @Test("the caller's cancellation is no exceeded deadline")
    func cancellation() async {
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            try await withDeadline(.seconds(60)) {
                begin.yield()
                try await waitForEver()
            }
        }
        var iterator = begun.makeAsyncIterator()
        await iterator.next()
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("an inner deadline doesn't end an outer one")
    func nested() async throws {
        let value = try await withDeadline(.seconds(60)) {
            do { try await withDeadline(.milliseconds(5)) { try await waitForEver() } } catch is DeadlineExceeded {
                return "inner"
            }
            return "none"
        }
        #expect(value == "inner")
    }
}
