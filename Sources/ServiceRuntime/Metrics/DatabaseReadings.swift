// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Metadata
import Metrics
import Models
import Postgres
import ServiceLifecycle

/// Reads now and then from the database what is the same for all processes, so that any of them can tell it: also when
/// those whose work it is are gone.
struct DatabaseReadings: Service {
    private static let interval: Duration = .seconds(10)
    /// Organizations whose usage is told: those that use most.
    private static let maximumOrganizations = 100

    let client: PostgresClient
    let logger: Logger
    private let queue = JobQueue()
    private let upstreams = UpstreamStore()
    private let usage = UsageStore()
    private let collection = CollectionStore()

    init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    private struct Reading: Hashable {
        let name: String
        var labels: [String] = []
    }

    func run() async throws {
        let isUp = Meter(label: "entrepot_database_up")
        await cancelWhenGracefulShutdown {
            var told: [Reading: Meter] = [:]
            while !Task.isCancelled {
                do {
                    let values = try await read()
                    for (reading, meter) in told where values[reading] == nil {
                        meter.destroy()
                        told[reading] = nil
                    }
                    for (reading, value) in values {
                        let meter = told[reading] ?? Self.meter(reading)
                        meter.set(value)
                        told[reading] = meter
                    }
                    // Last: who sees it sees the others.
                    isUp.set(1)
                } catch is CancellationError {
                    return
                } catch {
                    // What was true then is nothing to be told now.
                    isUp.set(0)
                    for meter in told.values { meter.destroy() }
                    told = [:]
                    logger.warning("metrics can't be read from the database", metadata: ["error": "\(error)"])
                }
                do { try await Task.sleep(for: Self.interval) } catch { return }
            }
        }
    }

    private static func meter(_ reading: Reading) -> Meter {
        let pairs = stride(from: 0, to: reading.labels.count, by: 2).map {
            (reading.labels[$0], reading.labels[$0 + 1])
        }
        return Meter(label: reading.name, dimensions: pairs)
    }

    private func read() async throws -> [Reading: Double] {
        var values: [Reading: Double] = [:]
        for summary in try await queue.summaries(on: client) {
            let states = [
                ("available", summary.available), ("running", summary.running), ("retryable", summary.retryable),
                ("dead", summary.discarded),
            ]
            for (state, count) in states {
                let labels = ["queue", summary.queue.rawValue, "state", state]
                values[Reading(name: "entrepot_queue_jobs", labels: labels)] = Double(count)
            }
            let labels = ["queue", summary.queue.rawValue]
            let age = (summary.oldestDue ?? .zero) / .seconds(1)
            values[Reading(name: "entrepot_queue_oldest_due_seconds", labels: labels)] = age
        }
        for condition in try await upstreams.conditions(on: client) {
            let labels = ["upstream", condition.baseURL]
            let isOpen = condition.health.isOpen
            values[Reading(name: "entrepot_upstream_breaker_open", labels: labels)] = isOpen ? 1 : 0
            guard let remaining = condition.remainingRequests else { continue }
            values[Reading(name: "entrepot_upstream_rate_limit_remaining", labels: labels)] = Double(remaining)
        }
        for organization in try await usage.largest(Self.maximumOrganizations, on: client) {
            let labels = ["organization", organization.name.rawValue]
            let bytes = Double(organization.usage.usedBytes)
            values[Reading(name: "entrepot_organization_usage_bytes", labels: labels)] = bytes
            guard let limit = organization.limitBytes else { continue }
            values[Reading(name: "entrepot_organization_limit_bytes", labels: labels)] = Double(limit)
        }
        let garbage = try await collection.garbageWaiting(on: client)
        values[Reading(name: "entrepot_garbage_bytes")] = Double(garbage.bytes)
        values[Reading(name: "entrepot_garbage_lag_seconds")] = garbage.age / .seconds(1)
        return values
    }
}

extension UpstreamCondition {
    /// The window of an upstream that doesn't say how long it is.
    private static let usualWindow: Duration = .seconds(3_600)

    /// Requests that are left, as long as what the upstream said of them holds: when its window has passed since, it counts
    /// anew.
    var remainingRequests: Int? {
        guard let rateLimit, let rateLimitAge else { return nil }
        let window = rateLimit.windowSeconds.map { Duration.seconds($0) } ?? Self.usualWindow
        return rateLimitAge < window ? rateLimit.remaining : nil
    }
}
