// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Dispatch
import Synchronization

/// Cancels whatever the server runs for one connection, from any thread, without waiting for the server.
///
/// `@unchecked`: `PQcancel` is documented as safe to call from any thread on a handle that nobody frees meanwhile, and
/// only `deinit` frees it.
final class CancelHandle: @unchecked Sendable {
    private let handle: OpaquePointer?
    private let patience: DispatchTimeInterval
    /// Number of the statement that runs; nil between statements.
    private let current = Mutex<UInt64?>(nil)
    /// Requests that are on their way.
    private let requests = DispatchGroup()

    /// - Parameter patience: how long a request may take; `PQcancel` has no deadline of its own, and a server that doesn't
    ///   answer holds it up
    init(_ connection: PQConnection, patience: Duration) {
        handle = PQgetCancel(connection.handle)
        self.patience = .milliseconds(Int(patience / .milliseconds(1)))
    }

    deinit { PQfreeCancel(handle) }

    /// Says that a statement begins. Blocks while a request for the one before is on its way, which could hit this one.
    /// - Throws: ``PostgresError`` `connectionLost` when it doesn't arrive
    func begin(_ statement: UInt64) throws(PostgresError) {
        guard requests.wait(timeout: .now() + patience) == .success else {
            throw PostgresError(.connectionLost, "the server doesn't take a cancellation")
        }
        current.withLock { $0 = statement }
    }

    func end() { current.withLock { $0 = nil } }

    /// Asks the server to end the statement, again and again until it has ended: a request that overtakes its statement on the
    /// way to the server finds nothing to cancel. Returns at once.
    func cancel(_ statement: UInt64, after delay: DispatchTimeInterval = .seconds(0)) {
        DispatchQueue.global().asyncAfter(deadline: .now() + delay) {
            let isRunning = self.current.withLock { current in
                guard current == statement else { return false }
                // Under the lock, so that the next statement finds it.
                self.requests.enter()
                return true
            }
            guard isRunning else { return }
            var message = [CChar](repeating: 0, count: 256)
            // A request that couldn't be sent leaves the statement to its deadline.
            _ = PQcancel(self.handle, &message, Int32(message.count))
            self.requests.leave()
            self.cancel(statement, after: .milliseconds(100))
        }
    }
}
