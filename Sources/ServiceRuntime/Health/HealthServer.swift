// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Logging
import ServiceLifecycle
import Synchronization

/// `/livez` and `/readyz` on the internal address: alive while the process turns, ready while every check passes and no
/// shutdown has begun.
struct HealthServer: Service {
    let address: HostPort
    let checks: [HealthCheck]
    let logger: Logger
    private let isLeaving = IsLeaving()

    init(address: HostPort, checks: [HealthCheck], logger: Logger) {
        self.address = address
        self.checks = checks
        self.logger = logger
    }

    func run() async throws {
        let router = Router()
        router.get("livez") { _, _ in "ok\n" }
        router.get("readyz") { _, _ in await readiness() }
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
    /// while the others drain.
    var departure: some Service { Departure(isLeaving: isLeaving) }

    private func readiness() async -> Response {
        var failed: [String] = isLeaving.isSet ? ["shutting down"] : []
        for check in checks {
            do { try await check.probe() } catch {
                logger.warning("not ready", metadata: ["check": "\(check.name)", "error": "\(error)"])
                failed.append(check.name)
            }
        }
        let text = failed.isEmpty ? "ok\n" : "not ready: \(failed.joined(separator: ", "))\n"
        return Response(
            status: failed.isEmpty ? .ok : .serviceUnavailable,
            headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }

    private struct Departure: Service {
        let isLeaving: IsLeaving

        func run() async throws {
            try await gracefulShutdown()
            isLeaving.set()
        }
    }

    private final class IsLeaving: Sendable {
        private let flag = Atomic(false)
        var isSet: Bool { flag.load(ordering: .acquiring) }
        func set() { flag.store(true, ordering: .releasing) }
    }
}
