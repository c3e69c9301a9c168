// SPDX-License-Identifier: Apache-2.0

import Postgres
import TestSupport
import Testing

@Suite("The pool", .timeLimit(.minutes(2)))
struct PoolTests {
    private let clock = ContinuousClock()

    /// A task that holds a connection until the latch opens. Returns once it has it.
    private func hold(_ client: PostgresClient, until latch: Latch) async -> Task<Void, any Error> {
        let isHeld = Latch()
        let holder = Task {
            defer { isHeld.open() }  // who can't get one is not waited for
            try await client.withConnection { _ in
                isHeld.open()
                await latch.wait()
            }
        }
        await isHeld.wait()
        return holder
    }

    @Test("many tasks over two connections never make a third")
    func bound() async throws {
        let name = TestServer.uniqueName("bound")
        try await TestServer.withClient(maximumConnections: 2, name: name) { client in
            let seen = try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        let row = try await client.query(
                            """
                            SELECT count(*), pg_backend_pid() FROM pg_stat_activity, pg_sleep(0.002)
                            WHERE application_name = \(name)
                            """
                        ).decodeFirst((Int, Int).self)
                        return try #require(row)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(seen.count == 60)
            #expect(seen.map(\.0).max() == 2)
            #expect(Set(seen.map(\.1)).count == 2)
        }
    }

    @Test("who finds every connection busy for too long is told so, and the pool goes on")
    func acquisitionDeadline() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            $0.acquireTimeout = .milliseconds(50)
        } _: { client in
            let release = Latch()
            let holder = await hold(client, until: release)
            let error = try await postgresError { try await client.query("SELECT 1") }
            #expect(error?.code == .acquireTimeout)
            release.open()
            try await holder.value
            #expect(try await client.query("SELECT 1").count == 1)
        }
    }

    @Test("a deadline that is over before anybody can wait is kept all the same")
    func noTimeToWait() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            $0.acquireTimeout = .zero
        } _: { client in
            let release = Latch()
            let holder = await hold(client, until: release)
            for _ in 0..<50 {
                let error = try await postgresError { try await client.query("SELECT 1") }
                #expect(error?.code == .acquireTimeout)
            }
            release.open()
            try await holder.value
        }
    }

    @Test("a connection that comes free in the moment of the deadline isn't lost")
    func deadlineRace() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            $0.acquireTimeout = .milliseconds(2)
        } _: { client in
            for round in 0..<80 {
                let release = Latch()
                let holder = await hold(client, until: release)
                let waiter = Task { try await client.query("SELECT 1") }
                try await clock.sleep(for: .microseconds(1_500 + 20 * round))  // to either side of the deadline
                release.open()
                try await holder.value
                _ = await waiter.result
                #expect(try await client.query("SELECT 1").count == 1)
            }
        }
    }

    @Test("a task that waits for a connection leaves when it is cancelled; its place in the queue goes with it")
    func cancelledWaiter() async throws {
        try await TestServer.withClient(maximumConnections: 1) {
            $0.acquireTimeout = .seconds(60)
        } _: { client in
            let release = Latch()
            let holder = await hold(client, until: release)
            let waiters = (0..<20).map { _ in Task { try await client.query("SELECT 1") } }
            await Task.yield()
            for waiter in waiters { waiter.cancel() }
            for waiter in waiters {
                await #expect(throws: CancellationError.self) { try await waiter.value }
            }
            release.open()
            try await holder.value
            #expect(try await client.query("SELECT 1").count == 1)
        }
    }

    @Test("closing fails those who wait at once and refuses newcomers")
    func close() async throws {
        let name = TestServer.uniqueName("close")
        try await TestServer.withClient { watcher in
            try await TestServer.withClient(maximumConnections: 1, name: name) {
                $0.acquireTimeout = .seconds(60)
            } _: { client in
                let release = Latch()
                let holder = await hold(client, until: release)
                let waiter = Task { try await client.query("SELECT 1") }
                // Whether it waits already or comes too late, it must not sit out its deadline.
                for _ in 0..<20 { await Task.yield() }
                let waited = await clock.measure {
                    await client.close()
                    await #expect { try await waiter.value } throws: {
                        ($0 as? PostgresError)?.code == .poolClosed
                    }
                }
                #expect(waited < .seconds(20))
                let error = try await postgresError { try await client.query("SELECT 1") }
                #expect(error?.code == .poolClosed)
                #expect(try await watcher.backends(of: name).count == 1, "the one in use is left alone")
                release.open()
                try await holder.value
                try await eventually("the last connection is closed") { try await watcher.backends(of: name).isEmpty }
            }
        }
    }

    @Test("the pool closes when its service ends")
    func service() async throws {
        try await TestServer.withClient { client in
            let service = Task { try await client.run() }
            #expect(try await client.query("SELECT 1").count == 1)
            service.cancel()
            try await service.value
            let error = try await postgresError { try await client.query("SELECT 1") }
            #expect(error?.code == .poolClosed)
        }
    }

    @Test("idle connections that the server ended are replaced before anybody notices")
    func healsIdle() async throws {
        let name = TestServer.uniqueName("heal")
        try await TestServer.withClient { watcher in
            try await TestServer.withClient(maximumConnections: 3, name: name) { client in
                try await client.withConnection { _ in
                    try await client.withConnection { _ in
                        try await client.withConnection { _ in }
                    }
                }
                let backends = try await watcher.backends(of: name)
                #expect(backends.count == 3)
                try await TestServer.terminate(backends, on: watcher)
                for _ in 0..<4 { #expect(try await !backends.contains(client.backend())) }
            }
        }
    }

    @Test("a statement whose backend is ended fails with the server's last words, and the next one works")
    func healsBusy() async throws {
        try await TestServer.withClient { watcher in
            try await TestServer.withClient(maximumConnections: 1) { client in
                let backend = try await client.backend()
                let work = Task { try await client.query("SELECT pg_sleep(60)") }
                try await eventually("the server sleeps") {
                    try await watcher.query(
                        "SELECT 1 FROM pg_stat_activity WHERE pid = \(backend) AND wait_event = 'PgSleep'"
                    )
                    .count == 1
                }
                try await TestServer.terminate([backend], on: watcher)
                let error = try await postgresError { _ = try await work.value }
                #expect(error?.sqlState == .adminShutdown)
                #expect(try await client.backend() != backend)
            }
        }
    }

    @Test("a connection that its user left in a transaction isn't given to anybody else", arguments: [false, true])
    func leftInTransaction(hasFailed: Bool) async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            let left = try await client.withConnection { connection in
                try await connection.query("BEGIN")
                let backend = try await connection.backend()
                if hasFailed {
                    let error = try await postgresError { try await connection.query("SELECT * FROM no_such_table") }
                    #expect(error?.sqlState == .undefinedTable)
                }
                return backend
            }
            #expect(try await client.backend() != left)
            let isFresh = try await client.query("SELECT pg_current_xact_id_if_assigned() IS NULL").decodeFirst(
                Bool.self
            )
            #expect(isFresh == true)
        }
    }

    @Test("a connection is used again as long as it is good")
    func reuse() async throws {
        try await TestServer.withClient(maximumConnections: 4) { client in
            let first = try await client.backend()
            for _ in 0..<5 { #expect(try await client.backend() == first) }
        }
    }
}
