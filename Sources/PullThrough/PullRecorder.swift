// SPDX-License-Identifier: Apache-2.0

package import Logging
import Metadata
package import Models
package import Postgres
import ServiceLifecycle
import Synchronization

/// Gathers who pulled what and writes it down in batches, so that a pull costs no statement of its own.
///
/// What the last batch didn't take is lost with a killed process: a tag then expires as if that pull hadn't been.
package final class PullRecorder: Service {
    private static let interval: Duration = .seconds(1)
    /// A batch is one statement; what is beyond waits for the next one.
    private static let maximumBatch = 2_000
    private static let maximumPending = 100_000

    package enum Flush: Sendable {
        case done
        /// Somebody changes the same rows, which doesn't take long.
        case givesWay
        case failed
    }

    private let client: PostgresClient
    private let logger: Logger
    private let lastAttempts: Int
    private let store = PullStore()
    private let clock = ContinuousClock()
    /// When each was last.
    private let pending = Mutex<[PullTouch: ContinuousClock.Instant]>([:])

    /// - Parameter lastAttempts: to write what is left at the end; each waits for a fifth of a second at the most for rows that
    ///   somebody holds
    package init(client: PostgresClient, logger: Logger, lastAttempts: Int = 20) {
        self.client = client
        self.logger = logger
        self.lastAttempts = lastAttempts
    }

    package func record(_ touch: PullTouch) {
        let now = clock.now
        pending.withLock { pending in
            // A database that is away for long must not cost memory without end; pulls repeat themselves.
            if pending.count < Self.maximumPending { pending[touch] = now }
        }
    }

    /// Writes until cancelled, and once more then; a graceful shutdown has pulls to the end.
    package func run() async throws {
        while !Task.isCancelled {
            do { try await Task.sleep(for: Self.interval) } catch { break }
            await flush()
        }
        // Shielded from the cancellation: what was pulled last is written, too. Whoever holds some of the rows doesn't for long.
        await Task {
            for _ in 0..<lastAttempts {
                guard await flush() == .givesWay else { break }
            }
        }.value
    }

    /// Writes what is pending, batch by batch. What comes meanwhile is left for the next time.
    @discardableResult
    package func flush() async -> Flush {
        var isMore = true
        while isMore {
            let batch = pending.withLock { pending in
                let batch = pending.prefix(Self.maximumBatch).reduce(into: [:]) { $0[$1.key] = $1.value }
                for touch in batch.keys { pending[touch] = nil }
                return batch
            }
            guard !batch.isEmpty else { return .done }
            isMore = batch.count == Self.maximumBatch
            do {
                try await store.touch(batch, on: client)
            } catch {
                // That somebody changes the same rows is nothing to worry about: it gives way, and comes again.
                let isGivingWay = (error as? PostgresError)?.sqlState == .lockNotAvailable
                if !(error is CancellationError) {
                    logger.log(
                        level: isGivingWay ? .debug : .warning,
                        "pulls not recorded yet",
                        metadata: ["count": "\(batch.count)", "error": "\(error)"]
                    )
                }
                pending.withLock { $0.merge(batch) { later, _ in later } }
                return isGivingWay ? .givesWay : .failed
            }
        }
        return .done
    }
}
