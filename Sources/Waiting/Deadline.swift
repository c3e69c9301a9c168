// SPDX-License-Identifier: Apache-2.0

/// A wait took longer than it may.
package struct DeadlineExceeded: Error, Sendable, CustomStringConvertible {
    package let duration: Duration

    package init(duration: Duration) { self.duration = duration }

    package var description: String { "no answer within \(duration)" }
}

/// Runs `body`; when it takes longer than `duration`, cancels it and throws ``DeadlineExceeded``.
package func withDeadline<Value: Sendable>(
    _ duration: Duration,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await pause(for: duration)
            throw DeadlineExceeded(duration: duration)
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
