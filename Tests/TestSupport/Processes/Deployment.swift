// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Metadata
import Models
package import Postgres
import Synchronization

/// The real executables over a database and a storage of their own.
package final class Deployment: Sendable {
    /// Tests run side by side; more deployments than this would only wait for the machine.
    private static let permits = Permits(3)

    /// Settings of tests in which a fetcher takes over from one that fell silent.
    package static let shortLease = ["ENTREPOT_FETCHER_LEASE": "2s"]

    package let client: PostgresClient
    package let storage: TemporaryDirectory
    /// Connection string of the database.
    package let database: String
    let operatorLogin = Once<[String: String]>()
    private let environment: [String: String]
    /// Folder of the executables; nil for where the build put them.
    private let programs: String?
    private let markers = Atomic(0)
    private let running = Mutex(
        (
            frontends: [TestProcess](), fetchers: [TestProcess](), dispatchers: [TestProcess](),
            keepers: [TestProcess](), clients: [TestClient]()
        )
    )

    /// Runs `body` against a deployment.
    /// - Parameters:
    ///   - proxies: `ORG=UPSTREAM[/NAMESPACE]`
    ///   - programs: folder of the services' executables; nil for where the build put them
    ///   - cluster: nil for the one that tests share
    package static func with<Result>(
        _ proxies: [String],
        frontends: Int = 1,
        fetchers: Int = 1,
        environment: [String: String] = [:],
        programs: String? = nil,
        cluster: PostgresCluster? = nil,
        _ body: (Deployment) async throws -> Result
    ) async throws -> Result {
        try await permits.acquire()
        defer { permits.release() }
        let deployment = try await Deployment(
            proxies,
            environment: environment,
            programs: programs,
            cluster: cluster
        )
        do {
            for _ in 0..<fetchers { try await deployment.addFetcher() }
            for _ in 0..<frontends { try await deployment.addFrontend() }
            let result = try await body(deployment)
            await deployment.end()
            return result
        } catch {
            await deployment.end()
            throw error
        }
    }

    private init(
        _ proxies: [String],
        environment: [String: String],
        programs: String?,
        cluster: PostgresCluster?
    ) async throws {
        database =
            if let cluster { try await cluster.migrateDatabase() } else {
                try await PostgresCluster.shared().makeMigratedDatabase()
            }
        storage = try TemporaryDirectory(isInMemory: TemporaryDirectory.isMemoryRoomy)
        self.environment = environment
        self.programs = programs
        var logger = Logger(label: "deployment")
        logger.logLevel = .error
        client = PostgresClient(
            PostgresConfiguration.patient(database, maximumConnections: 4),
            logger: logger
        )
        for proxy in proxies {
            let parts = proxy.split(separator: "=", maxSplits: 1).map(String.init)
            try await OrganizationStore().proxy(
                OrganizationName(parts[0]),
                from: UpstreamAddress(parsing: parts[1]),
                isPublic: true,
                on: client
            )
        }
    }

    package var frontends: [TestProcess] { running.withLock { $0.frontends } }
    package var fetchers: [TestProcess] { running.withLock { $0.fetchers } }
    package var dispatchers: [TestProcess] { running.withLock { $0.dispatchers } }
    /// Pruners and collectors.
    package var keepers: [TestProcess] { running.withLock { $0.keepers } }
    /// A client for each frontend.
    package var clients: [TestClient] { running.withLock { $0.clients } }
    /// A client of the first frontend.
    package var registry: TestClient { clients[0] }

    /// - Parameter settings: of this frontend alone
    package func addFrontend(_ settings: [String: String] = [:]) async throws {
        let listen = ["ENTREPOT_LISTEN_ADDRESS": "127.0.0.1:0"]
        let process = try await start("registry-frontend", listen.merging(environment) { $1 }.merging(settings) { $1 })
        let line = try await process.line(containing: "listening address=")
        guard let address = line.split(separator: "=").last else { throw TestSupportError(line) }
        running.withLock { running in
            running.frontends.append(process)
            running.clients.append(TestClient("http://\(address)"))
        }
    }

    /// - Parameter settings: of this fetcher alone
    package func addFetcher(_ settings: [String: String] = [:]) async throws {
        let allowed = ["ENTREPOT_SSRF_ALLOWED_HOSTS": "127.0.0.1"]
        let process = try await start("upstream-fetcher", allowed.merging(environment) { $1 }.merging(settings) { $1 })
        try await process.line(containing: "started")
        running.withLock { $0.fetchers.append(process) }
    }

    /// Starts a scan dispatcher, whose scanner gets layers from the first frontend.
    /// - Parameter settings: of this dispatcher alone
    package func addDispatcher(scanner: String, _ settings: [String: String] = [:]) async throws {
        let own = [
            "ENTREPOT_SECURITY_SCANNER_V4_ENDPOINT": scanner,
            "ENTREPOT_SCAN_LAYERS_URL": registry.base,
            "ENTREPOT_SECURITY_SCANNER_INDEXING_INTERVAL": "200ms",
        ]
        let process = try await start("scan-dispatcher", own.merging(environment) { $1 }.merging(settings) { $1 })
        try await process.line(containing: "started")
        running.withLock { $0.dispatchers.append(process) }
    }

    /// - Parameter settings: of this pruner alone
    package func addPruner(_ settings: [String: String] = [:]) async throws {
        let quick = ["ENTREPOT_PRUNER_EXPIRY_INTERVAL": "100ms", "ENTREPOT_PRUNER_LIMIT_INTERVAL": "100ms"]
        try await addKeeper("quota-pruner", quick.merging(settings) { $1 })
    }

    /// - Parameter settings: of this collector alone
    package func addCollector(_ settings: [String: String] = [:]) async throws {
        let quick = [
            "ENTREPOT_GC_INTERVAL": "50ms", "ENTREPOT_GC_GRACE": "0s", "ENTREPOT_DEFAULT_TAG_EXPIRATION": "0s",
            "ENTREPOT_SCRUB_MEGABYTES_PER_SECOND": "0",
        ]
        try await addKeeper("garbage-collector", quick.merging(settings) { $1 })
    }

    private func addKeeper(_ program: String, _ settings: [String: String]) async throws {
        let process = try await start(program, environment.merging(settings) { $1 })
        try await process.line(containing: "started")
        running.withLock { $0.keepers.append(process) }
    }

    /// Gives an organization a limit in bytes.
    package func limit(_ organization: String, to bytes: Int64) async throws {
        try await client.query(
            """
            INSERT INTO quota (organization_id, limit_bytes)
            SELECT id, \(bytes) FROM organization WHERE name = \(organization)
            ON CONFLICT (organization_id) DO UPDATE SET limit_bytes = excluded.limit_bytes
            """
        )
    }

    /// Ends the processes as an operator does; checks nothing.
    private func end() async {
        for process in frontends + fetchers + dispatchers + keepers {
            process.kill(SIGKILL)
            _ = try? await process.exitStatus()  // killed: it ends
        }
        await client.close()
    }

    /// Runs a program to its end and returns the lines that it printed. Throws with them when it fails.
    package func run(
        _ program: String,
        _ words: [String],
        _ settings: [String: String] = [:]
    ) async throws -> [String] {
        let process = try await start(program, settings, words: words)
        let status = try await process.exitStatus()
        guard status == 0 else {
            throw TestSupportError("\(program) ended with \(status):\n\(process.lines.joined(separator: "\n"))")
        }
        return process.lines
    }

    private func start(
        _ program: String,
        _ settings: [String: String],
        words: [String] = []
    ) async throws -> TestProcess {
        let common = [
            "ENTREPOT_DB_URI": database,
            "ENTREPOT_BLOB_DIRECTORY": storage.path + "/storage",
            "ENTREPOT_LOG_FORMAT": "text",
            "ENTREPOT_LOG_LEVEL": "debug",
            // Tests count what upstream and scanner are asked for: a heartbeat that is late must not cost a request.
            "ENTREPOT_FETCHER_LEASE": "20s",
            "ENTREPOT_SCAN_LEASE": "20s",
            // Nor is a slow machine an upstream's failure.
            "ENTREPOT_STALE_PATIENCE": "60s",
            "ENTREPOT_MANIFEST_TIMEOUT": "120s",
            "ENTREPOT_SHUTDOWN_GRACE": "60s",
            // Tests count what upstream is asked for; those of fills say when.
            "ENTREPOT_FILL_DELAY": "0",
            "ENTREPOT_DB_CONNECTION_POOLING_MAX": "8",
        ]
        return try await TestProcess(
            programs.map { "\($0)/\(program)" } ?? Executables.path(program),
            words,
            environment: common.merging(settings) { $1 }
        )
    }

    /// Changes settings of an organization's proxy configuration, as an administrator does.
    /// - Parameter assignment: of a column, such as `freshness_s = 60`
    package func configure(_ organization: String, _ assignment: String) async throws {
        try await client.query(
            """
            UPDATE proxy_cache_config SET \(unescaped: assignment), generation = generation + 1
            WHERE organization_id = (SELECT id FROM organization WHERE name = \(organization))
            """
        )
        try await announce(organization)
    }

    /// Points an organization at another upstream. What it has cached stays.
    package func point(_ organization: String, at upstream: String) async throws {
        try await OrganizationStore().proxy(
            OrganizationName(organization),
            from: UpstreamAddress(parsing: upstream),
            on: client
        )
        try await announce(organization)
    }

    /// Takes an organization's upstream away. What it has cached stays.
    package func stopProxying(_ organization: String) async throws {
        try await client.query(
            """
            DELETE FROM proxy_cache_config
            WHERE organization_id = (SELECT id FROM organization WHERE name = \(organization))
            """
        )
        try await announce(organization)
    }

    /// Forgets what was held against upstreams.
    package func forgetFailures() async throws {
        let urls = try await client.query("DELETE FROM upstream RETURNING base_url").decode(String.self)
        for url in urls { try await client.query("SELECT pg_notify('entrepot_upstream', \(url))") }
        try await heard()
    }

    /// Pulls, and waits until that pull is written down at the live tags of its name.
    package func pullRecorded(
        _ path: String,
        by client: TestClient? = nil,
        tag: String
    ) async throws -> TestClient.Answer {
        let start = try await self.client.query("SELECT clock_timestamp()::text").decodeFirst(String.self) ?? ""
        let answer = try await (client ?? registry).get(path)
        try await eventually("the pull is written down") {
            let rows = try await self.client.query(
                "SELECT 1 FROM tag WHERE name = \(tag) AND last_pulled_at > \(start)::timestamptz"
            )
            return !rows.isEmpty
        }
        return answer
    }

    /// Waits until what was pulled is stored: a client has a blob's last byte before the file is durable and its row says so.
    package func stored() async throws {
        try await eventually("what was pulled is stored") {
            try await client.query(
                "SELECT 1 FROM job WHERE kind = 'blob_fetch' AND state IN ('available', 'running', 'retryable')"
            ).isEmpty
        }
    }

    /// Waits until every process has heard what was announced before.
    package func heard() async throws {
        let marker = "item=marker-\(markers.add(1, ordering: .relaxed).newValue)"
        // Repeated, because a process that has just begun doesn't listen yet.
        try await eventually("every process listens") {
            try await client.query("SELECT pg_notify('entrepot_organization', \(String(marker.dropFirst(5))))")
            try await Task.sleep(for: .milliseconds(20))
            return (frontends + fetchers).allSatisfy { $0.lines.contains { $0.contains(marker) } }
        }
    }

    /// Every row of every table, as text.
    package func dump() async throws -> String {
        let tables = try await client.query(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()"
        ).decode(String.self)
        var text = ""
        for table in tables {
            let rows = try await client.query("SELECT t::text FROM \(unescaped: table) t").decode(String.self)
            text += "\(table)\n\(rows.joined(separator: "\n"))\n"
        }
        return text
    }

    /// Path of the one published file, once its row says so.
    package func placedFile(other: String? = nil) async throws -> String {
        var found: String?
        try await eventually("a blob is placed") {
            let placed = try await client.query("SELECT generation::text FROM blob WHERE generation IS NOT NULL")
                .decode(String.self)
            found = try published().first { file in file != other && placed.contains { file.hasSuffix($0) } }
            return found != nil
        }
        guard let found else { throw TestSupportError("no blob is placed") }
        return found
    }

    private func announce(_ organization: String) async throws {
        try await client.query("SELECT pg_notify('entrepot_organization', \(organization))")
        try await heard()
    }

    /// Names of the files that are arriving.
    package func partials() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: storage.path + "/storage/partials")
    }

    /// Paths of the published files.
    package func published() throws -> [String] {
        let folder = storage.path + "/storage/blobs"
        return try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.contains(".") }
            .map { folder + "/" + $0 }
    }
}

/// Where the build put the programs of this package.
package enum Executables {
    package static func path(_ name: String) throws -> String {
        // The test bundle or runner is built beside them.
        var folder = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
        for _ in 0..<6 {
            let candidate = folder.appending(path: name).path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
            let debug = folder.appending(path: ".build/debug").appending(path: name).path
            if FileManager.default.isExecutableFile(atPath: debug) { return debug }
            folder = folder.deletingLastPathComponent()
        }
        throw TestSupportError("\(name) isn't beside \(CommandLine.arguments[0]): build the whole package first")
    }
}

extension TestProcess {
    /// A client of the port on which a service tells its health and its metrics.
    package func internalClient() async throws -> TestClient {
        let line = try await line(containing: "health server address=")
        guard let port = line.split(separator: ":").last else { throw TestSupportError(line) }
        return TestClient("http://127.0.0.1:\(port)")
    }
}
