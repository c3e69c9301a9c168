// SPDX-License-Identifier: Apache-2.0

import Glibc
package import Logging
import ServiceLifecycle

/// What a listener hears.
package enum ListenerEvent: Sendable {
    /// The channels are being listened to from now on; what was sent before is lost, so look at the truth now.
    case connected
    case notification(channel: String, payload: String)
}

/// Listens on a connection of its own; connects again, with growing pauses, whenever that breaks.
package final class NotificationListener: Service {
    private static let firstPause: Duration = .milliseconds(50)
    private static let longestPause: Duration = .seconds(5)
    /// A silent connection is asked for a sign of life this often.
    private static let probeInterval: Duration = .seconds(20)

    private let configuration: PostgresConfiguration
    private let channels: [String]
    private let logger: Logger
    private let handler: @Sendable (ListenerEvent) async -> Void

    package init(
        _ configuration: PostgresConfiguration,
        channels: [String],
        logger: Logger,
        handler: @escaping @Sendable (ListenerEvent) async -> Void
    ) {
        self.configuration = configuration
        self.channels = channels
        self.logger = logger
        self.handler = handler
    }

    /// Listens until cancelled or shut down.
    package func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            var pause = Self.firstPause
            while !Task.isCancelled {
                do {
                    try await listen { pause = Self.firstPause }
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("not listening to the database", metadata: ["error": "\(error)"])
                }
                do { try await Task.sleep(for: pause * Double.random(in: 0.5...1)) } catch { return }
                pause = min(pause * 2, Self.longestPause)
            }
        }
    }

    private func listen(onConnect: () -> Void) async throws {
        let connection = try await Connection.open(configuration)
        for channel in channels { try await connection.query("LISTEN \(unescaped: quoteIdentifier(channel))") }
        let wake = try WakePipe()
        onConnect()
        await handler(.connected)
        while true {
            let heard = try await withTaskCancellationHandler {
                try Task.checkCancellation()
                return try await connection.notifications(until: .now + Self.probeInterval, wake: wake.reader)
            } onCancel: {
                wake.wake()
            }
            try Task.checkCancellation()
            if heard.isEmpty { try await connection.query("SELECT 1") }
            for (channel, payload) in heard { await handler(.notification(channel: channel, payload: payload)) }
        }
    }
}

/// A pipe whose reading end becomes readable, once and for all, when somebody calls `wake()`.
private final class WakePipe: Sendable {
    let reader: Int32
    private let writer: Int32

    init() throws(PostgresError) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
            throw PostgresError(.connect, "pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        reader = ends[0]
        writer = ends[1]
    }

    deinit {
        close(reader)
        close(writer)
    }

    func wake() {
        var byte: UInt8 = 1
        _ = write(writer, &byte, 1)  // a full pipe is readable already
    }
}
