// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Postgres
import TestSupport
import Testing

@Suite("Connecting", .timeLimit(.minutes(2)))
struct ConnectTests {
    private let clock = ContinuousClock()

    /// What a client says whose database is this, and after how long.
    private func failure(
        _ connectionString: String,
        timeout: Duration = .seconds(30)
    ) async throws -> (error: PostgresError?, after: Duration) {
        var configuration = PostgresConfiguration(connectionString: connectionString, maximumConnections: 1)
        configuration.connectTimeout = timeout
        let client = PostgresClient(configuration, logger: TestServer.logger)
        let start = clock.now
        let error = try await postgresError { try await client.query("SELECT 1") }
        return (error, clock.now - start)
    }

    @Test("a refused connection is a clear error, at once")
    func refused() async throws {
        let closed = try ClosedPort()
        let port = closed.port
        let (error, after) = try await failure("host=127.0.0.1 port=\(port) user=tester dbname=none")
        withExtendedLifetime(closed) {}
        #expect(error?.code == .connect)
        #expect(error?.message.contains("refused") == true)
        #expect(error?.message.contains("\(port)") == true)
        #expect(after < .seconds(25), "its patience is longer")
    }

    @Test("a socket that isn't there is a clear error, at once")
    func noSocket() async throws {
        let (error, after) = try await failure("host=/nonexistent-folder user=tester dbname=none")
        #expect(error?.code == .connect)
        #expect(error?.message.contains("/nonexistent-folder") == true)
        #expect(after < .seconds(25), "its patience is longer")
    }

    @Test("a database that isn't there is named, in one line")
    func noDatabase() async throws {
        let string = try await PostgresCluster.shared().connectionString("no_such_database")
        let (error, _) = try await failure(string)
        #expect(error?.code == .connect)
        #expect(error?.message.contains("no_such_database") == true)
        #expect(error?.message.contains("\n") == false)
    }

    @Test("a connection string that makes no sense is refused at once")
    func nonsense() async throws {
        let (error, after) = try await failure("no_such_option=1 dbname=none")
        #expect(error?.code == .connect)
        #expect(error?.message.contains("no_such_option") == true)
        #expect(after < .seconds(25), "its patience is longer")
    }

    @Test("a server that accepts and says nothing is given up at the deadline")
    func silent() async throws {
        let (listener, port) = try RawSocket.listen(backlog: 1)
        defer { close(listener) }
        let (error, after) = try await failure(
            "host=127.0.0.1 port=\(port) user=tester dbname=none",
            timeout: .milliseconds(100)
        )
        #expect(error?.code == .connect)
        #expect(error?.message.contains("in time") == true)
        #expect(after >= .milliseconds(100) && after < .seconds(20))
    }

    @Test("connections that fail leave their place to the next try")
    func failuresTakeNoPlace() async throws {
        let name = TestServer.uniqueName("later")
        let string = try await PostgresCluster.shared().connectionString(name)
        var configuration = PostgresConfiguration(connectionString: string, maximumConnections: 1)
        configuration.acquireTimeout = .milliseconds(100)
        let client = PostgresClient(configuration, logger: TestServer.logger)
        for _ in 0..<3 {
            let error = try await postgresError { try await client.query("SELECT 1") }
            #expect(error?.code == .connect)
        }
        try await TestServer.withClient { try await $0.query("CREATE DATABASE \(unescaped: name)") }
        #expect(try await client.query("SELECT 1").count == 1)
        await client.close()
    }
}
