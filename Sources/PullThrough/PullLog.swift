// SPDX-License-Identifier: Apache-2.0

package import Logging
import Metadata
import Metrics
package import Models
package import Postgres
import ServiceLifecycle
import Synchronization
import Waiting

/// Writes the log by group commit: what comes while one batch is being written makes up the next one.
///
/// Strict, a caller waits until its entry is committed, so that no acknowledged pull is missing from the log, whatever is
/// killed. Relaxed, it goes on at once, and what was not written is lost with a killed process.
package final class PullLog: Service {
    package struct Configuration: Sendable {
        package var isStrict = true
        package var retention: Duration = .seconds(90 * 86_400)

        package init() {}
    }

    private struct Pending {
        let entry: LogEntry
        let since = ContinuousClock.now
        /// Who waits for the commit.
        let waiter: CheckedContinuation<Void, any Error>?
    }

    private static let maximumBatch = 1_000
    /// How long entries gather that nobody waits for: a batch of many costs little more than one of a few.
    private static let gathering: Duration = .milliseconds(50)
    /// A database that is away for long must not cost memory without end.
    private static let maximumPending = 100_000
    private static let partitionInterval: Duration = .seconds(3_600)
    /// How soon partitions are tried again that somebody was in the way of.
    private static let partitionRetry: Duration = .seconds(30)
    private static let daysAhead = 3

    private let configuration: Configuration
    private let client: PostgresClient
    private let logger: Logger
    private let store = LogStore()
    private let wakeUp = WakeUp()
    private let pending = Mutex<[Pending]>([])
    private let batchEntries = Recorder(label: "entrepot_log_batch_entries")
    private let waits = Timer(label: "entrepot_log_wait_seconds")
    private let failures = Counter(label: "entrepot_log_failed_entries_total")

    package init(_ configuration: Configuration, client: PostgresClient, logger: Logger) {
        self.configuration = configuration
        self.client = client
        self.logger = logger
    }

    /// Adds an entry; strict, returns when it is committed.
    /// - Throws: ``PostgresError`` when it can't be written, ``MetadataError``
    package func append(_ entry: LogEntry) async throws {
        guard configuration.isStrict else {
            let isFull = pending.withLock { pending in
                guard pending.count < Self.maximumPending else { return true }
                pending.append(Pending(entry: entry, waiter: nil))
                return false
            }
            if isFull {
                failures.increment()
                logger.error("log is full, an entry is lost", metadata: ["kind": "\(entry.kind)"])
            }
            return wakeUp.wake()
        }
        try await withCheckedThrowingContinuation { continuation in
            let isFull = pending.withLock { pending in
                guard pending.count < Self.maximumPending else { return true }
                pending.append(Pending(entry: entry, waiter: continuation))
                return false
            }
            guard !isFull else {
                return continuation.resume(throwing: FetchFailure(.cache, "the log can't be written"))
            }
            wakeUp.wake()
        }
    }

    /// Writes until cancelled, and what is left then.
    package func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepPartitions() }
            group.addTask { await self.write() }
            await group.waitForAll()
        }
        // Shielded from the cancellation: what was served last is written, too.
        await Task { await flush() }.value
    }

    private func write() async {
        while !Task.isCancelled {
            await wakeUp.wait(atMost: .seconds(1))
            if !configuration.isStrict {
                do { try await Task.sleep(for: Self.gathering) } catch { return }
            }
            await flush()
        }
    }

    /// Writes what is pending. Of what comes meanwhile, strict, the next batch is made at once; relaxed, it is left to gather.
    private func flush() async {
        var isMore = true
        while isMore {
            let batch = pending.withLock { pending in
                let batch = Array(pending.prefix(Self.maximumBatch))
                pending.removeFirst(batch.count)
                return batch
            }
            guard !batch.isEmpty else { return }
            isMore = configuration.isStrict || batch.count == Self.maximumBatch
            do {
                try await store.append(batch.map(\.entry), on: client)
                for one in batch { one.waiter?.resume() }
                batchEntries.record(batch.count)
                let now = ContinuousClock.now
                for one in batch { waits.record(duration: now - one.since) }
            } catch {
                failures.increment(by: batch.count)
                logger.error("log can't be written", metadata: ["count": "\(batch.count)", "error": "\(error)"])
                // Who waits is told; what nobody waits for stays until the database is back.
                for one in batch { one.waiter?.resume(throwing: error) }
                let left = batch.filter { $0.waiter == nil }
                guard !left.isEmpty else { continue }
                return pending.withLock { $0.insert(contentsOf: left, at: 0) }
            }
        }
    }

    private func keepPartitions() async {
        while !Task.isCancelled {
            var pause = Self.partitionInterval
            do {
                let state = try await store.keepPartitions(
                    daysAhead: Self.daysAhead,
                    retention: configuration.retention,
                    on: client
                )
                switch state {
                case .kept: break
                case .postponed: logger.debug("partitions of the log are left for later: it is in use")
                case .overdue: logger.warning("the log has no partition for tomorrow yet: it is in use")
                }
                if state != .kept { pause = Self.partitionRetry }
            } catch is CancellationError { return } catch {
                logger.error("partitions of the log can't be kept", metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: pause) } catch { return }
        }
    }
}
