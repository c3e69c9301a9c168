// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Logging
import Metadata
package import Postgres
package import ServiceLifecycle
import UnixSignals

/// What every executable has: its settings, its log, its life from start to drained.
package struct ServiceRuntime: Sendable {
    package let name: String
    package let settings: SettingsReader
    package let logger: Logger
    /// Those of the program's switches that it was started with.
    package let switches: Set<String>
    private let shutdownGrace: Duration
    private let internalAddress: HostPort

    /// - Parameter defaults: what this program has in place of a key's own default
    /// - Throws: ``SettingsError``
    package init(
        name: String,
        keys: [SettingKey],
        flags: [SettingKey: String] = [:],
        defaults: [SettingKey: String] = [:],
        config: String? = nil,
        switches: Set<String> = [],
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        self.name = name
        self.switches = switches
        settings = try SettingsReader(
            keys: keys,
            flags: flags,
            defaults: defaults,
            environment: environment,
            path: config
        )
        logger = try Self.logger(name, settings)
        shutdownGrace = try settings.duration(SharedSettings.shutdownGrace)
        internalAddress = try settings.hostPort(SharedSettings.internalAddress)
    }

    /// Runs the services until SIGTERM or SIGINT, then drains them in the reverse of their order.
    package func run(_ services: [any Service], healthChecks: [HealthCheck]) async throws {
        let health = HealthServer(address: internalAddress, checks: healthChecks, logger: logger)
        // The services end in the reverse of this order: health last, so that it says "not ready" until the end.
        var configuration = ServiceGroupConfiguration(
            services: ([health] + services + [health.departure]).map { .init(service: $0) },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        configuration.maximumGracefulShutdownDuration = shutdownGrace
        logger.notice("started")
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch is CancellationError {
            logger.warning("drained by force", metadata: ["grace": "\(shutdownGrace)"])
        }
        logger.notice("stopped")
    }

    /// Names this process in job rows.
    package var worker: String { "\(ProcessInfo.processInfo.hostName):\(ProcessInfo.processInfo.processIdentifier)" }

    /// A service's database, as the settings name it, once its schema is current.
    /// - Throws: ``SettingsError``, and whatever ``waitForSchema(_:within:)`` throws
    package func openDatabase() async throws -> (client: PostgresClient, configuration: PostgresConfiguration) {
        let configuration = try PostgresConfiguration(
            connectionString: settings.secret(SharedSettings.database),
            applicationName: name,
            maximumConnections: settings.int(SharedSettings.databaseConnections, in: 2...1_000)
        ).checked(from: SharedSettings.database.name)
        let client = PostgresClient(configuration, logger: logger)
        try await waitForSchema(client)
        return (client, configuration)
    }

    /// Waits until somebody has migrated the database; services never do it themselves.
    /// - Throws: `MetadataError` when it stays too old, or is of another version.
    package func waitForSchema(_ client: PostgresClient, within patience: Duration = .seconds(30)) async throws {
        let deadline = ContinuousClock.now + patience
        while true {
            do {
                return try await Migrator().check(client)
            } catch let error as MetadataError where error.code == .schemaTooOld && ContinuousClock.now < deadline {
                logger.debug("waiting for the schema", metadata: ["reason": "\(error)"])
            } catch let error as PostgresError where error.code == .connect && ContinuousClock.now < deadline {
                logger.debug("waiting for the database", metadata: ["reason": "\(error)"])
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private static func logger(_ name: String, _ settings: SettingsReader) throws -> Logger {
        let levelText = try settings.string(SharedSettings.logLevel)
        guard let level = Logger.Level(rawValue: levelText) else {
            throw settings.invalid(SharedSettings.logLevel, levelText, "expected \(SharedSettings.logLevel.help)")
        }
        let formatText = try settings.string(SharedSettings.logFormat)
        guard let format = LineLogHandler.Format(rawValue: formatText) else {
            throw settings.invalid(SharedSettings.logFormat, formatText, "expected \(SharedSettings.logFormat.help)")
        }
        return Logger(label: name) { _ in
            LineLogHandler(service: name, level: level, format: format, write: StandardOutput.write)
        }
    }
}
