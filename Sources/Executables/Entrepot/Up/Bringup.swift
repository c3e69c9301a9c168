// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Jobs
import Logging
import Metadata
import Models
import Postgres
import Sealing
import ServiceRuntime
import Supervision
import UnixSignals
import Waiting

/// Starts everything in the order in which it depends on each other, and ends it in the reverse order.
struct Bringup {
    private let settings: UpSettings
    private let logger: Logger
    private let startDeadline: Duration = .seconds(60)

    init(_ settings: UpSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    func run() async throws {
        let folder = try DataFolder(settings.data)
        if !FileManager.default.fileExists(atPath: folder.fetcherKey) {
            try OwnFile.write(Data(SealingPrivateKey().fileContent.utf8), to: folder.fetcherKey)
        }
        for index in 0..<settings.frontends {
            try ListeningAddress.check(host: settings.listen.host, port: address(index).port)
        }
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let isInterrupted = StopFlag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await signal in signals {
                    logger.notice("stopping", metadata: ["signal": "\(signal)"])
                    isInterrupted.set()
                }
            }
            try await runAll(folder, until: isInterrupted)
            group.cancelAll()
        }
        logger.notice("stopped")
    }

    private func runAll(_ folder: DataFolder, until stop: StopFlag) async throws {
        guard settings.database == nil else {
            return try await runServices(folder, database: settings.database ?? "", until: stop)
        }
        let cluster = PrivateCluster(
            programs: try .find(),
            folder: folder,
            maximumConnections: settings.maximumConnections,
            logger: logger
        )
        try await cluster.prepare()
        try await withChildren([cluster.server()], stop) {
            let database = cluster.connectionString(database: "entrepot")
            try await makeDatabase(cluster, stop)
            try await runServices(folder, database: database, until: stop)
        }
    }

    /// Fetchers first, so that the first pull finds one; frontends end before them, so that no pull loses its fetcher. The
    /// dispatcher last: the scanner gets its layers from a frontend.
    private func runServices(_ folder: DataFolder, database: String, until stop: StopFlag) async throws {
        guard !stop.isSet else { return }
        try await prepareSchema(database, folder)
        let keepers = ["quota-pruner": "pruner", "garbage-collector": "collector"].map { program, name in
            service(program, name: name, folder, database)
        }
        try await withChildren((1...settings.fetchers).map { fetcher($0, folder, database) } + keepers, stop) {
            try await withChildren((0..<settings.frontends).map { frontend($0, folder, database) }, stop) {
                try await waitUntilServing(stop)
                guard !stop.isSet else { return }
                try await withChildren(dispatchers(folder, database), stop) {
                    try await announce(database)
                    await stop.wait()
                }
            }
        }
    }

    /// Runs the processes while `body` runs; they are asked to end after it.
    private func withChildren(
        _ configurations: [ChildProcess.Configuration],
        _ stop: StopFlag,
        _ body: () async throws -> Void
    ) async throws {
        let children = configurations.map { configuration in
            ChildProcess(
                configuration,
                output: { line in Console.write(Self.labelled(line, configuration.name)) },
                logger: logger
            )
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for child in children {
                group.addTask {
                    do { try await child.run() } catch {
                        stop.set()
                        throw error
                    }
                }
            }
            let result: Result<Void, any Error>
            do { result = .success(try await body()) } catch { result = .failure(error) }
            for child in children { child.stop() }
            try await group.waitForAll()
            try result.get()
        }
    }

    /// Whose line it is; a line of JSON stays one object.
    private static func labelled(_ line: String, _ process: String) -> String {
        line.hasPrefix("{\"") ? "{\"process\":\"\(process)\"," + line.dropFirst() : "[\(process)] \(line)"
    }

    // MARK: - Database

    private func makeDatabase(_ cluster: PrivateCluster, _ stop: StopFlag) async throws {
        let configuration = PostgresConfiguration(
            connectionString: cluster.connectionString(database: "postgres"),
            applicationName: "entrepot up",
            maximumConnections: 1
        )
        let client = PostgresClient(configuration, logger: logger)
        try await eventually("PostgreSQL doesn't answer", stop) {
            do {
                try await client.query("SELECT 1")
                return true
            } catch is PostgresError {
                return false
            }
        }
        if !stop.isSet {
            let exists = try await client.query("SELECT 1 FROM pg_database WHERE datname = 'entrepot'")
            if exists.isEmpty { try await client.query("CREATE DATABASE entrepot") }
        }
        await client.close()
    }

    private func prepareSchema(_ database: String, _ folder: DataFolder) async throws {
        let client = PostgresClient(PostgresConfiguration(connectionString: database), logger: logger)
        let applied = try await Migrator().migrate(client)
        if !applied.isEmpty {
            logger.notice("schema brought up to date", metadata: ["migrations": "\(applied.map(\.name))"])
        }
        let store = OrganizationStore()
        var proxies = settings.proxies
        if proxies.isEmpty, try await store.all(on: client).isEmpty {
            proxies = try UpSettings.wellKnown.map(UpSettings.Proxy.init)
        }
        for proxy in proxies {
            try await store.proxy(
                proxy.organization,
                from: proxy.upstream,
                isPublic: settings.isLoopback,
                on: client
            )
        }
        let open = try await store.all(on: client).filter(\.isPublic).map(\.name)
        logger.notice("everybody may pull from some organizations", metadata: ["public": "\(open)"])
        if let password = try await Superuser.ensure(password: settings.adminPassword, on: client) {
            Console.write(
                "superuser admin, password \(password) (shown this once; change it with `entrepot user password admin`)"
            )
        }
        try await Superuser.keepLogin(in: folder.operatorLogin, url: "http://\(reachable(0))", on: client)
        await JobNotifier(client: client, logger: logger)
            .notify(.organizations, proxies.map(\.organization.rawValue))
        await client.close()
    }

    // MARK: - Services

    private func fetcher(_ number: Int, _ folder: DataFolder, _ database: String) -> ChildProcess.Configuration {
        var configuration = service("upstream-fetcher", name: "fetcher-\(number)", folder, database)
        configuration.environment["ENTREPOT_SSRF_ALLOWED_HOSTS"] = settings.allowedHosts
        // Who keeps keys elsewhere says so by the setting, which the fetchers inherit.
        let names = ["ENTREPOT_FETCHER_KEY_FILES", "FETCHER_KEY_FILES"]
        if names.allSatisfy({ ProcessInfo.processInfo.environment[$0] == nil }) {
            configuration.environment[names[0]] = folder.fetcherKey
        }
        return configuration
    }

    private func frontend(_ index: Int, _ folder: DataFolder, _ database: String) -> ChildProcess.Configuration {
        var configuration = service("registry-frontend", name: "frontend-\(index + 1)", folder, database)
        configuration.environment["ENTREPOT_LISTEN_ADDRESS"] = "\(address(index))"
        return configuration
    }

    /// One, if there is a scanner.
    private func dispatchers(_ folder: DataFolder, _ database: String) -> [ChildProcess.Configuration] {
        guard settings.isScanning else { return [] }
        var configuration = service("scan-dispatcher", name: "scan-dispatcher", folder, database)
        if !settings.hasLayersURL { configuration.environment["ENTREPOT_SCAN_LAYERS_URL"] = "http://\(reachable(0))" }
        return [configuration]
    }

    private func service(
        _ program: String,
        name: String,
        _ folder: DataFolder,
        _ database: String
    ) -> ChildProcess.Configuration {
        var configuration = ChildProcess.Configuration(name: name, executable: Self.programs + "/" + program)
        configuration.refusal = Program.wrongSettingStatus
        configuration.stopGrace = settings.stopGrace
        configuration.environment = [
            "ENTREPOT_DB_URI": database,
            "ENTREPOT_BLOB_DIRECTORY": folder.storage,
            "ENTREPOT_INTERNAL_ADDRESS": "127.0.0.1:0",
            "ENTREPOT_LOG_FORMAT": settings.logFormat,
            "ENTREPOT_CONFIG": settings.config,
        ]
        return configuration
    }

    /// The other executables are beside this one.
    private static var programs: String {
        // Always there on Linux.
        let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return URL(filePath: own ?? CommandLine.arguments[0]).deletingLastPathComponent().path
    }

    private func address(_ index: Int) -> HostPort {
        HostPort(host: settings.listen.host, port: settings.listen.port + index)
    }

    // MARK: - Readiness

    private func waitUntilServing(_ stop: StopFlag) async throws {
        let transport = HTTPTransport(
            HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none),
            logger: logger
        )
        defer { transport.shutdown() }
        for index in 0..<settings.frontends {
            try await eventually("no frontend answers at \(address(index))", stop) {
                do {
                    let response = try await transport.send(HTTPTransportRequest(url: "http://\(reachable(index))/v2/"))
                    // A challenge is an answer.
                    return response.head.status == 401 || response.head.status == 200
                } catch is HTTPTransportError {
                    return false
                }
            }
        }
    }

    private func reachable(_ index: Int) -> HostPort { address(index).fromHere }

    private func eventually(
        _ complaint: String,
        _ stop: StopFlag,
        _ condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + startDeadline
        while !stop.isSet, try await !condition() {
            guard ContinuousClock.now < deadline else {
                throw SupervisionError("\(complaint) after \(startDeadline); the lines above say why")
            }
            await stop.wait(atMost: .milliseconds(50))
        }
    }

    private func announce(_ database: String) async throws {
        let client = PostgresClient(PostgresConfiguration(connectionString: database), logger: logger)
        let organizations = try await OrganizationStore().all(on: client)
        await client.close()
        for organization in organizations {
            guard let upstream = organization.proxyCache?.upstream else { continue }
            Console.write("organization \(organization.name) proxies \(upstream)")
        }
        Console.write("ready: http://\(reachable(0))")
        guard let example = organizations.first(where: { $0.proxyCache?.upstream.isDockerHub == true })
        else { return Console.write("try:   skopeo inspect --tls-verify=false docker://\(reachable(0))/ORG/IMAGE:TAG") }
        Console.write("try:   podman pull --tls-verify=false \(reachable(0))/\(example.name)/library/alpine:latest")
    }
}
