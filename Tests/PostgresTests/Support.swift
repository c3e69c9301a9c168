// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Postgres
import TestSupport

/// What all suites against the server share: one empty database, in which each test has tables and names of its own.
enum TestServer {
    private static let database = Task { try await PostgresCluster.shared().makeDatabase() }

    static var connectionString: String {
        get async throws { try await database.value }
    }

    static var logger: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    static func configuration(
        maximumConnections: Int = 2,
        name: String = "tests"
    ) async throws -> PostgresConfiguration {
        .patient(
            try await connectionString,
            applicationName: name,
            maximumConnections: maximumConnections
        )
    }

    /// Gives `body` a client of its own.
    @discardableResult
    static func withClient<Result>(
        maximumConnections: Int = 2,
        name: String = "tests",
        adjust: (inout PostgresConfiguration) -> Void = { _ in },
        _ body: (PostgresClient) async throws -> Result
    ) async throws -> Result {
        var configuration = try await configuration(maximumConnections: maximumConnections, name: name)
        adjust(&configuration)
        let client = PostgresClient(configuration, logger: logger)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    /// A name that nobody else uses, good for tables, channels and applications.
    static func uniqueName(_ prefix: String) -> String {
        prefix + "_" + UUID().uuidString.lowercased().replacing("-", with: "")
    }

    /// Ends these backends and waits until their processes are gone, and with them their sockets.
    static func terminate(_ backends: [Int], on client: PostgresClient) async throws {
        try await client.query("SELECT pg_terminate_backend(pid) FROM unnest(\(backends)::int[]) AS pid")
        try await eventually("backends \(backends) are gone") {
            backends.allSatisfy { !FileManager.default.fileExists(atPath: "/proc/\($0)") }
        }
    }
}

/// Shut until somebody opens it; one may wait.
struct Latch: Sendable {
    private let stream: AsyncStream<Never>
    private let continuation: AsyncStream<Never>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func open() { continuation.finish() }

    /// Returns once it is open, or when the task is cancelled.
    func wait() async {
        for await _ in stream {}
    }
}

extension Queryable {
    /// The server's process that answers.
    func backend() async throws -> Int {
        guard let pid = try await query("SELECT pg_backend_pid()").decodeFirst(Int.self) else {
            throw TestSupportError("pg_backend_pid() returned no row")
        }
        return pid
    }

    /// Returns once this process of the server runs a `pg_sleep`.
    func untilAsleep(_ backend: Int) async throws {
        try await eventually("the server sleeps") {
            try await query("SELECT 1 FROM pg_stat_activity WHERE pid = \(backend) AND wait_event = 'PgSleep'")
                .count == 1
        }
    }

    /// The first column of the first row.
    func number(_ query: Query) async throws -> Int? {
        let number: Int? = try await self.query(query).decodeFirst(Int.self)
        return number
    }

    /// Processes of the connections that carry the application's name.
    func backends(of name: String) async throws -> [Int] {
        try await query("SELECT pid FROM pg_stat_activity WHERE application_name = \(name)").decode(Int.self)
    }
}

/// The error of this type that `body` throws, or nil.
func postgresError(_ body: () async throws -> Void) async throws -> PostgresError? {
    do {
        try await body()
        return nil
    } catch let error as PostgresError {
        return error
    }
}
