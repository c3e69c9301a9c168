// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A state, and tasks that wait until it answers their questions.
package final class WaitingRoom<State: Sendable, Question: Sendable, Answer: Sendable>: Sendable {
    /// What the state says to the question; nil for nothing yet.
    package typealias Rule = @Sendable (Question, State) -> Result<Answer, any Error>?

    private struct Waiter {
        let question: Question
        let continuation: CheckedContinuation<Answer, any Error>
    }

    private struct Content {
        var state: State
        var waiters: [UInt64: Waiter] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let rule: Rule
    private let content: Mutex<Content>

    package init(_ state: State, rule: @escaping Rule) {
        self.rule = rule
        self.content = Mutex(Content(state: state))
    }

    package var state: State { content.withLock { $0.state } }

    /// Changes the state, and lets those go whom it answers now.
    package func update(_ change: @Sendable (inout State) -> Void) {
        let answered = content.withLock { content in
            change(&content.state)
            var answered: [(Waiter, Result<Answer, any Error>)] = []
            for (id, waiter) in content.waiters {
                guard let answer = rule(waiter.question, content.state) else { continue }
                answered.append((waiter, answer))
                content.waiters[id] = nil
            }
            return answered
        }
        for (waiter, answer) in answered { waiter.continuation.resume(with: answer) }
    }

    /// Waits for the answer, however long it takes. A waiter that is cancelled leaves the others alone.
    /// - Throws: the error that is the answer; `CancellationError`
    package func answer(to question: Question) async throws -> Answer {
        let id = content.withLock { content in
            content.nextWaiter += 1
            return content.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer = content.withLock { content -> Result<Answer, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if let answer = rule(question, content.state) { return answer }
                    content.waiters[id] = Waiter(question: question, continuation: continuation)
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            let waiter = content.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }
}
