// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Logging
import ServiceLifecycle
import Synchronization

/// `/livez`, `/readyz` and `/metrics` on the internal address: alive while the process turns, ready while every check passes
/// and no shutdown has begun.
struct HealthServer: Service {
    let address: HostPort
    let checks: [HealthCheck]
    let metrics: MetricRegistry
    let logger: Logger
    /// How long the process goes on as before once it has said that it leaves.
    let departureDelay: Duration
    private let isLeaving = IsLeaving()

    init(
        address: HostPort,
        checks: [HealthCheck],
        metrics: MetricRegistry,
        departureDelay: Duration = .zero,
        logger: Logger
    ) {
        self.address = address
        self.checks = checks
        self.metrics = metrics
        self.departureDelay = departureDelay
        self.logger = logger
    }

    func run() async throws {
        let router = Router()
        router.get("livez") { _, _ in "ok\n" }
        router.get("readyz") { _, _ in await readiness() }
        router.get("metrics") { _, _ in Self.response(.ok, metrics.exposition(), Exposition.contentType) }
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname(address.host, port: address.port)),
            onServerRunning: { [logger] channel in
                logger.debug("health server", metadata: ["address": "\(channel.localAddress.map { "\($0)" } ?? "?")"])
            },
            logger: quiet
        )
        try await application.run()
    }

    /// Belongs at the end of the services: it is the first to hear of a shutdown, and from then on `/readyz` says no,
    /// while the others drain, after the delay.
    var departure: some Service { Departure(isLeaving: isLeaving, delay: departureDelay) }

    private func readiness() async -> Response {
        var failed: [String] = isLeaving.isSet ? ["shutting down"] : []
        for check in checks {
            do { try await check.run() } catch {
                logger.warning("not ready", metadata: ["check": "\(check.name)", "error": "\(error)"])
                failed.append(check.name)
            }
        }
        let text = failed.isEmpty ? "ok\n" : "not ready: \(failed.joined(separator: ", "))\n"
        return Self.response(failed.isEmpty ? .ok : .serviceUnavailable, text, "text/plain; charset=utf-8")
    }

    private static func response(_ status: HTTPResponse.Status, _ text: String, _ type: String) -> Response {
        Response(
            status: status,
            headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }

    private struct Departure: Service {
        let isLeaving: IsLeaving
        let delay: Duration

        func run() async throws {
            try await gracefulShutdown()
            isLeaving.set()
            // The others hear of the shutdown when this ends. Balancers need a moment to see that we aren't ready.
            try await Task.sleep(for: delay)
        }
    }

    private final class IsLeaving: Sendable {
        private let flag = Atomic(false)
        var isSet: Bool { flag.load(ordering: .acquiring) }
        func set() { flag.store(true, ordering: .releasing) }
    }
}
