// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Dispatch
import Synchronization

/// Cancels whatever the server runs for one connection, from any thread.
///
/// `@unchecked`: `PQcancel` is documented as safe to call from any thread on a handle that nobody frees meanwhile, and
/// only `deinit` frees it.
final class CancelHandle: @unchecked Sendable {
    private let handle: OpaquePointer?
    /// Number of the statement that runs; nil between statements.
    private let current = Mutex<UInt64?>(nil)

    init(_ connection: PQConnection) { handle = PQgetCancel(connection.handle) }

    deinit { PQfreeCancel(handle) }

    func begin(_ statement: UInt64) { current.withLock { $0 = statement } }

    func end() { current.withLock { $0 = nil } }

    /// Asks the server to end the statement. Blocks for a round trip.
    /// - Returns: false when the statement had ended
    @discardableResult
    func cancel(_ statement: UInt64) -> Bool {
        // Under the lock, so that the next statement can't begin before the request is on its way.
        current.withLock { current in
            guard current == statement else { return false }
            var message = [CChar](repeating: 0, count: 256)
            // A request that couldn't be sent leaves the statement to its deadline.
            _ = PQcancel(handle, &message, Int32(message.count))
            return true
        }
    }

    /// The same, without blocking the caller, and again until the statement has ended: a request that overtakes its
    /// statement on the way to the server finds nothing to cancel.
    func cancelSoon(_ statement: UInt64, after delay: DispatchTimeInterval = .seconds(0)) {
        DispatchQueue.global().asyncAfter(deadline: .now() + delay) {
            if self.cancel(statement) { self.cancelSoon(statement, after: .milliseconds(100)) }
        }
    }
}
