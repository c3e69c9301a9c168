// SPDX-License-Identifier: Apache-2.0

import Clair
import Jobs
import Logging
import Metadata
import Models
import Postgres
import ServiceLifecycle
import Synchronization
import Waiting

/// Knows whether the scanner can be reached, and in which state it is. While it can't be, nothing is sent to it.
final class ScannerWatch: Service {
    private static let retry = RetryPolicy(base: .milliseconds(500), cap: .seconds(15))

    private struct State {
        var indexState: String?
        var failures = 0
    }

    private let clair: ClairClient
    private let client: PostgresClient
    private let interval: Duration
    private let onReturn: WakeUp
    private let logger: Logger
    private let scans = ScanStore()
    private let wakeUp = WakeUp()
    private let state = Mutex(State())

    /// - Parameters:
    ///   - interval: between looks at a scanner that answers
    ///   - onReturn: woken when there may be something to do
    init(clair: ClairClient, client: PostgresClient, interval: Duration, onReturn: WakeUp, logger: Logger) {
        self.clair = clair
        self.client = client
        self.interval = interval
        self.onReturn = onReturn
        self.logger = logger
    }

    /// Nil while it can't be reached.
    var indexState: String? { state.withLock(\.indexState) }

    /// Somebody found that it doesn't answer: it is looked at now.
    func suspect() {
        state.withLock { $0.indexState = nil }
        wakeUp.wake()
    }

    func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                let failures = await look()
                let pause = failures == 0 ? interval : Self.retry.delay(afterFailures: failures)
                await wakeUp.wait(atMost: pause)
            }
        }
    }

    /// - Returns: failures in a row
    private func look() async -> Int {
        do {
            let found = try await clair.indexState()
            let stale = try await scans.note(indexState: found, on: client)
            let (before, failures) = state.withLock { state in
                defer { state = State(indexState: found) }
                return (state.indexState, state.failures)
            }
            if before == nil, failures > 0 { logger.notice("scanner answers again") }
            if stale > 0 {
                logger.notice("scanner has changed: images are indexed again", metadata: ["images": "\(stale)"])
            }
            if before == nil || stale > 0 { onReturn.wake() }
            return 0
        } catch is CancellationError {
            return 0
        } catch {
            let failures = state.withLock { state in
                state = State(indexState: nil, failures: state.failures + 1)
                return state.failures
            }
            // Once: what follows from it is in the rows of the images.
            if failures == 1 { logger.warning("scanner can't be asked", metadata: ["reason": "\(error)"]) }
            return failures
        }
    }
}
