// SPDX-License-Identifier: Apache-2.0

import Postgres
import Synchronization
import Waiting

/// Something that must work before requests are welcome.
package struct HealthCheck: Sendable {
    /// One that takes longer has failed.
    private static let patience: Duration = .seconds(5)

    package let name: String
    /// Throws when it doesn't work.
    private let probe: @Sendable () async throws -> Void
    private let isRunning = Running()

    package init(_ name: String, _ probe: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.probe = probe
    }

    static func database(_ client: PostgresClient) -> HealthCheck {
        HealthCheck("database") { try await client.query("SELECT 1") }
    }

    /// Throws what the probe throws, or ``Overdue``.
    func run(within patience: Duration = HealthCheck.patience) async throws {
        // A device that doesn't answer can't be asked to stop: nobody waits for it twice.
        guard isRunning.begin() else { throw Overdue() }
        let (results, feed) = AsyncStream.makeStream(of: Result<Void, any Error>.self)
        let probe = probe
        let isRunning = isRunning
        // Unstructured, for a group would wait until the probe ends.
        Task {
            do {
                try await probe()
                feed.yield(.success(()))
            } catch {
                feed.yield(.failure(error))
            }
            isRunning.end()
        }
        // It outlasts no answer: cancelled with the first one.
        let alarm = Task {
            try await pause(for: patience)
            feed.yield(.failure(Overdue()))
        }
        defer { alarm.cancel() }
        for await result in results { return try result.get() }
        throw CancellationError()
    }

    struct Overdue: Error, CustomStringConvertible {
        var description: String { "no answer in time" }
    }

    private final class Running: Sendable {
        private let flag = Atomic(false)

        func begin() -> Bool { flag.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged }
        func end() { flag.store(false, ordering: .releasing) }
    }
}
