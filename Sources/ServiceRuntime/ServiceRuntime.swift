// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Logging
import Metadata
import Metrics
import Models
package import Postgres
package import ServiceLifecycle
import Traces
import Tracing
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
    private let metrics: MetricRegistry
    /// Nil when nothing is traced.
    private let traces: TraceExport?

    /// - Parameters:
    ///   - defaults: what this program has in place of a key's own default
    ///   - metrics: what `/metrics` tells
    /// - Throws: ``SettingsError``
    package init(
        name: String,
        keys: [SettingKey],
        flags: [SettingKey: String] = [:],
        defaults: [SettingKey: String] = [:],
        config: String? = nil,
        switches: Set<String> = [],
        environment: [String: String] = ProcessInfo.processInfo.environment,
        metrics: MetricRegistry = MetricRegistry()
    ) throws {
        self.metrics = metrics
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
        traces = try TraceExport(settings)
        shutdownGrace = try settings.duration(SharedSettings.shutdownGrace)
        internalAddress = try settings.hostPort(SharedSettings.internalAddress)
    }

    /// Once in a process, before anything is begun that could be traced.
    func bootstrapTracing() {
        if let traces { InstrumentationSystem.bootstrap(traces.tracer) }
    }

    /// Runs the services until SIGTERM or SIGINT, then drains them in the reverse of their order.
    /// - Parameters:
    ///   - database: the first of the services; what it doesn't answer for isn't ready
    ///   - healthChecks: others
    ///   - departureDelay: between the signal, from which on `/readyz` says no, and the beginning of the shutdown
    package func run(
        _ services: [any Service],
        database: PostgresClient,
        healthChecks: [HealthCheck] = [],
        departureDelay: Duration = .zero
    ) async throws {
        let health = HealthServer(
            address: internalAddress,
            checks: [.database(database)] + healthChecks,
            metrics: metrics,
            departureDelay: departureDelay,
            logger: logger
        )
        let readings = DatabaseReadings(client: database, logger: logger)
        let exporters = traces.map { [$0.exporter(of: name, worker: worker, logger: logger)] } ?? []
        // The services end in the reverse of this order: health late, so that it says "not ready" until the end, and what
        // sends the spans of all others last.
        var configuration = ServiceGroupConfiguration(
            services: (exporters + [health] + services + [readings, health.departure]).map { .init(service: $0) },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        configuration.maximumGracefulShutdownDuration = shutdownGrace + departureDelay
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
            maximumConnections: settings.int(SharedSettings.databaseConnections, in: SharedSettings.poolSizes)
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
        let request = Logger.MetadataProvider {
            guard let context = ServiceContext.current else { return [:] }
            var metadata: Logger.Metadata = [:]
            if let id = context.requestID { metadata["request.id"] = "\(id)" }
            if let id = context.recordedTraceID { metadata["trace.id"] = "\(id)" }
            return metadata
        }
        return Logger(label: name) { _ in
            var handler = LineLogHandler(service: name, level: level, format: format, write: StandardOutput.write)
            handler.metadataProvider = request
            return handler
        }
    }
}
