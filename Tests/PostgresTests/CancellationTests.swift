// SPDX-License-Identifier: Apache-2.0

import Postgres
import TestSupport
import Testing

@Suite("Cancellation and deadlines", .timeLimit(.minutes(2)))
struct CancellationTests {
    private let clock = ContinuousClock()

    /// Runs the statement, cancels once the server is at it, and returns how long the end took.
    private func cancelledSleep(_ client: PostgresClient, watcher: PostgresClient, backend: Int) async throws
        -> Duration
    {
        let work = Task { try await client.query("SELECT pg_sleep(60)") }
        try await watcher.untilAsleep(backend)
        return await clock.measure {
            work.cancel()
            await #expect(throws: CancellationError.self) { try await work.value }
        }
    }

    @Test("a running statement ends soon after its task, long before its own end, and its connection goes on")
    func running() async throws {
        try await TestServer.withClient { watcher in
            try await TestServer.withClient(maximumConnections: 1) { client in
                let backend = try await client.backend()
                var times: [Duration] = []
                for _ in 0..<3 {
                    times.append(try await cancelledSleep(client, watcher: watcher, backend: backend))
                    #expect(try await client.backend() == backend, "the same connection, at once")
                }
                // The best of three: a busy machine may hold up one of them.
                #expect(try #require(times.min()) < .seconds(20), "\(times)")
            }
        }
    }

    @Test("a task that is cancelled before sends nothing")
    func before() async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            try await client.query("CREATE TEMPORARY TABLE mark (n bigint)")
            let mayGo = Latch()
            let work = Task {
                await mayGo.wait()
                try await client.query("INSERT INTO mark VALUES (1)")
            }
            work.cancel()
            mayGo.open()
            await #expect(throws: CancellationError.self) { try await work.value }
            #expect(try await client.number("SELECT count(*) FROM mark") == 0)
        }
    }

    @Test("a cancellation never hits the statement that comes next on the connection")
    func noStray() async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            for round in 0..<40 {
                // Short enough to end by itself about when the cancellation arrives.
                let work = Task { try await client.query("SELECT pg_sleep(\(Double(round % 6) / 2_000))") }
                if round.isMultiple(of: 2) { await Task.yield() }
                work.cancel()
                _ = await work.result
                let answer = try await client.number("SELECT \(round) FROM pg_sleep(0.003)")
                #expect(answer == round)
            }
        }
    }

    @Test("a statement that is cancelled while it is on its way to the server ends, too")
    func onItsWay() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            // One that isn't cancelled ends as a timeout.
            $0.queryTimeout = .seconds(25)
        } _: { client in
            _ = try await client.backend()
            for round in 0..<60 {
                let work = Task { try await client.query("SELECT pg_sleep(60)") }
                for _ in 0..<round % 20 { await Task.yield() }
                work.cancel()
                await #expect(throws: CancellationError.self) { try await work.value }
            }
        }
    }

    @Test("a cancellation ends no other task's statement")
    func others() async throws {
        let name = TestServer.uniqueName("others")
        try await TestServer.withClient { watcher in
            try await TestServer.withClient(name: name) { client in
                try await watcher.withConnection { holder in
                    try await holder.query("SELECT pg_advisory_lock(4712)")
                    async let other = client.query("SELECT pg_advisory_lock(4712)::text, 7")
                    let work = Task { try await client.query("SELECT pg_sleep(60)") }
                    try await eventually("both are at it") {
                        try await watcher.query(
                            """
                            SELECT 1 FROM pg_stat_activity WHERE application_name = \(name) AND state = 'active'
                                AND (wait_event = 'PgSleep' OR wait_event_type = 'Lock')
                            """
                        ).count == 2
                    }
                    work.cancel()
                    await #expect(throws: CancellationError.self) { try await work.value }
                    try await holder.query("SELECT pg_advisory_unlock(4712)")
                    let (_, seven) = try #require(try await other.decodeFirst((String, Int).self))
                    #expect(seven == 7)
                }
            }
        }
    }

    @Test("a statement that takes longer than it may is ended, and its connection goes on")
    func queryDeadline() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            // Statements that take no time have to keep it as well, on a busy machine.
            $0.queryTimeout = .seconds(10)
        } _: { client in
            let before = try await client.backend()
            let error = try await postgresError { try await client.query("SELECT pg_sleep(60)") }
            #expect(error?.code == .timeout)
            #expect(try await client.backend() == before)
        }
    }

    @Test("the server's own limit is an error of the server, not a cancellation")
    func statementTimeout() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            $0.statementTimeout = .milliseconds(100)
        } _: { client in
            let error = try await postgresError { try await client.query("SELECT pg_sleep(60)") }
            #expect(error?.code == .server)
            #expect(error?.sqlState == .queryCanceled)
        }
    }

    @Test("who waits too long for a lock is told so")
    func lockTimeout() async throws {
        try await TestServer.withClient {
            $0.lockTimeout = .milliseconds(50)
        } _: { client in
            try await client.withTransaction { holder in
                try await holder.query("SELECT pg_advisory_xact_lock(4711)")
                let error = try await postgresError { try await client.query("SELECT pg_advisory_xact_lock(4711)") }
                #expect(error?.sqlState == .lockNotAvailable)
            }
        }
    }

    @Test("sessions carry the configured limits, name and time zone")
    func session() async throws {
        let name = TestServer.uniqueName("session")
        try await TestServer.withClient(name: name) {
            $0.statementTimeout = .milliseconds(12_345)
            $0.lockTimeout = .seconds(7)
            $0.idleInTransactionTimeout = .seconds(90)
        } _: { client in
            let row = try await client.query(
                """
                SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
                    current_setting('idle_in_transaction_session_timeout'), current_setting('TimeZone'),
                    current_setting('application_name'), current_setting('jit')
                """
            ).decodeFirst((String, String, String, String, String, String).self)
            let (statement, lock, idle, zone, application, jit) = try #require(row)
            #expect(jit == "off")
            #expect(statement == "12345ms")
            #expect(lock == "7s")
            #expect(idle == "90s")
            #expect(zone == "UTC")
            #expect(application == name)
        }
    }

    @Test("a server that takes no cancellation costs the connection, and no more time than that")
    func unheard() async throws {
        let cluster = try await PostgresCluster.own()
        var configuration = PostgresConfiguration(connectionString: try await cluster.makeDatabase())
        configuration.queryTimeout = .seconds(10)
        let client = PostgresClient(configuration, logger: TestServer.logger)
        let before = try await client.backend()
        try await cluster.frozen {
            let error = try await postgresError { try await client.query("SELECT pg_sleep(60)") }
            #expect(error?.code == .connectionLost)
        }
        #expect(try await client.backend() != before)
        await client.close()
    }
}
