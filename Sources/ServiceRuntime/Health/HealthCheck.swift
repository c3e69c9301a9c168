// SPDX-License-Identifier: Apache-2.0

import Postgres
import Synchronization
import Waiting

/// Something that must work before requests are welcome.
package struct HealthCheck: Sendable {
    /// One that takes longer has failed.
    private static let patience: Duration = .seconds(5)

    /// A look that is under way, shared by all who ask meanwhile.
    private final class Look: Sendable {
        let start = ContinuousClock.now
        let outcome = WaitingRoom<Result<Void, any Error>?, Void, Void>(nil) { _, result in result }
    }

    private final class Current: Sendable {
        let look = Mutex<Look?>(nil)
    }

    package let name: String
    /// Throws when it doesn't work.
    private let probe: @Sendable () async throws -> Void
    private let current = Current()

    package init(_ name: String, _ probe: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.probe = probe
    }

    static func database(_ client: PostgresClient) -> HealthCheck {
        HealthCheck("database") { try await client.query("SELECT 1") }
    }

    /// Throws what the probe throws, or ``Overdue``.
    func run(within patience: Duration = HealthCheck.patience) async throws {
        // A device that doesn't answer can't be asked to stop: it isn't asked again before it does.
        let look = look()
        do {
            try await withDeadline(look.start + patience - .now) { try await look.outcome.answer(to: ()) }
        } catch is DeadlineExceeded {
            throw Overdue()
        }
    }

    /// The look that is under way, or a new one.
    private func look() -> Look {
        current.look.withLock { [probe, current] open in
            if let open { return open }
            let look = Look()
            open = look
            // Unstructured, for a group would wait until the probe ends.
            Task {
                let result: Result<Void, any Error>
                do { result = .success(try await probe()) } catch { result = .failure(error) }
                current.look.withLock { $0 = nil }
                look.outcome.update { $0 = result }
            }
            return look
        }
    }

    struct Overdue: Error, CustomStringConvertible {
        var description: String { "no answer in time" }
    }
}
