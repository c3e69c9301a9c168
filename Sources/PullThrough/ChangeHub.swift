// SPDX-License-Identifier: Apache-2.0

package import Jobs
package import Logging
package import Models
import OCI
package import Postgres
import ServiceLifecycle
import Synchronization
package import Waiting

/// Hands the database's notifications to those in this process who wait for them.
///
/// Hints only: after a lost connection everybody is told to look.
package final class ChangeHub: Service {
    /// What somebody can wait for.
    package enum Topic: Hashable, Sendable {
        case queue(String)
        case job(JobID)
        case blob(String)
        case scan(String)
    }

    private struct State {
        var wakeUps: [Topic: [ObjectIdentifier: WakeUp]] = [:]
        var callbacks: [JobNotifier.Channel: [@Sendable (String?) -> Void]] = [:]
    }

    private let configuration: PostgresConfiguration
    private let logger: Logger
    private let state = Mutex(State())

    package init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    package func run() async throws {
        let listener = NotificationListener(
            configuration,
            channels: JobNotifier.Channel.allCases.map(\.rawValue),
            logger: logger
        ) { [self] event in
            switch event {
            case .connected: wakeAll()
            case .notification(let channel, let payload): deliver(channel, payload)
            }
        }
        try await listener.run()
    }

    /// From now on the wake-up is woken by changes of the topic, until `remove`.
    package func add(_ wakeUp: WakeUp, for topic: Topic) {
        state.withLock { $0.wakeUps[topic, default: [:]][ObjectIdentifier(wakeUp)] = wakeUp }
    }

    package func remove(_ wakeUp: WakeUp, for topic: Topic) {
        state.withLock { state in
            state.wakeUps[topic]?[ObjectIdentifier(wakeUp)] = nil
            if state.wakeUps[topic]?.isEmpty == true { state.wakeUps[topic] = nil }
        }
    }

    /// Calls back with each item of the channel, and with nil when any may have changed.
    package func onChange(of channel: JobNotifier.Channel, _ body: @escaping @Sendable (String?) -> Void) {
        state.withLock { $0.callbacks[channel, default: []].append(body) }
    }

    private func wakeAll() {
        let (wakeUps, callbacks) = state.withLock {
            ($0.wakeUps.values.flatMap(\.values), $0.callbacks.values.flatMap { $0 })
        }
        for wakeUp in wakeUps { wakeUp.wake() }
        for callback in callbacks { callback(nil) }
    }

    private func deliver(_ channel: String, _ payload: String) {
        for item in JobNotifier.items(payload) {
            guard let channel = JobNotifier.Channel(rawValue: channel) else { continue }
            logger.debug("change heard", metadata: ["channel": "\(channel)", "item": "\(item)"])
            switch channel {
            case .jobs: wake(.queue(item))
            case .finishedJobs: Int64(item).map { wake(.job(JobID(rawValue: $0))) }
            case .blobs: wake(.blob(item))
            case .scans: wake(.scan(item))
            case .organizations, .accounts, .upstreams: break
            }
            let callbacks = state.withLock { $0.callbacks[channel] ?? [] }
            for callback in callbacks { callback(item) }
        }
    }

    private func wake(_ topic: Topic) {
        let wakeUps = state.withLock { $0.wakeUps[topic]?.values.map { $0 } ?? [] }
        for wakeUp in wakeUps { wakeUp.wake() }
    }
}
