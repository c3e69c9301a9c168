// SPDX-License-Identifier: Apache-2.0

package import Logging
import Metrics
import ServiceLifecycle
import Synchronization
import Waiting

/// A pool of connections to one database.
///
/// Statements may be run at any time; `run()` is what closes connections that nobody has used for a while.
package final class PostgresClient: Queryable, Service {
    private enum Grant: Sendable {
        case connection(Connection)
        case connect
    }

    private typealias Waiter = CheckedContinuation<Grant, any Error>

    private struct State: ~Copyable {
        var pool: PoolState<Connection, Waiter>
        var nextWaiter: UInt64 = 0
    }

    private let configuration: PostgresConfiguration
    private let logger: Logger
    private let state: Mutex<State>
    private let clock = ContinuousClock()
    private let inUse = Meter(label: "postgres_pool_connections_in_use")
    private let waits = Timer(label: "postgres_pool_wait_seconds")
    private let timeouts = Counter(label: "postgres_pool_timeouts_total")

    package init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        state = Mutex(State(pool: PoolState(maximum: configuration.maximumConnections)))
    }

    /// A pool of its own to the same database, for statements that can't wait until others have ended, or that others can't
    /// wait for.
    /// - Parameter patience: how long a statement may take; nil for as long as here
    package func separate(connections: Int, patience: Duration? = nil) -> PostgresClient {
        var configuration = configuration
        configuration.maximumConnections = connections
        if let patience {
            configuration.queryTimeout = patience
            configuration.statementTimeout = patience
        }
        return PostgresClient(configuration, logger: logger)
    }

    /// Closes connections that are idle or old until shutdown, then closes the pool.
    package func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                do { try await Task.sleep(for: .seconds(5)) } catch { return }
                let now = clock.now
                let old = state.withLock { state in
                    state.pool.takeIdle(since: now - configuration.idleTimeout) { [configuration] in
                        $0.openedAt < now - configuration.maximumLifetime
                    }
                }
                if !old.isEmpty { logger.trace("idle connections closed", metadata: ["count": "\(old.count)"]) }
            }
        }
        await close()
    }

    /// Closes idle connections and refuses new leases; connections in use close when they are given back.
    package func close() async {
        let (_, waiters) = state.withLock { $0.pool.close() }
        for waiter in waiters { waiter.resume(throwing: PostgresError(.poolClosed, "the client was closed")) }
    }

    @discardableResult
    package func query(_ query: Query) async throws -> Rows {
        try await withConnection { try await $0.query(query) }
    }

    package func copy(_ rows: CopyRows, into target: String) async throws {
        try await withConnection { try await $0.copy(rows, into: target) }
    }

    /// Gives `body` a connection for itself.
    /// Throws ``PostgresError`` `connect`, `acquireTimeout` or `poolClosed`, or what `body` throws.
    package func withConnection<Result>(
        _ body: (Connection) async throws -> Result
    ) async throws -> Result {
        let connection = try await lease()
        inUse.increment()
        defer {
            inUse.decrement()
            giveBack(connection)
        }
        return try await body(connection)
    }

    /// Runs `body` inside a transaction: committed when it returns, rolled back when it throws.
    /// - Parameter isDurable: whether the commit waits until it would survive a crash of the server. For rows whose loss does
    ///   no harm it need not.
    package func withTransaction<Result>(
        isolation: IsolationLevel = .readCommitted,
        isDurable: Bool = true,
        _ body: (Connection) async throws -> Result
    ) async throws -> Result {
        try await withConnection { connection in
            try await connection.query("BEGIN ISOLATION LEVEL \(unescaped: isolation.rawValue)")
            do {
                if !isDurable { try await connection.query("SET LOCAL synchronous_commit = off") }
                let result = try await body(connection)
                if connection.isInFailedTransaction {
                    throw PostgresError(
                        .server,
                        "a statement of the transaction was refused, and nothing threw",
                        sqlState: .inFailedTransaction
                    )
                }
                try await connection.query("COMMIT")
                return result
            } catch {
                await rollBack(connection)
                throw error
            }
        }
    }

    private func rollBack(_ connection: Connection) async {
        // A task of its own: the caller's cancellation must not leave the transaction open.
        await Task {
            do {
                try await connection.query("ROLLBACK")
            } catch {
                // The pool drops a connection whose transaction is open or which is broken.
                logger.debug("rollback failed", metadata: ["error": "\(error)"])
            }
        }.value
    }

    // MARK: - Leases

    private func lease() async throws -> Connection {
        let deadline = clock.now + configuration.acquireTimeout
        while true {
            switch try await grant(until: deadline) {
            case .connection(let connection):
                if await connection.isAlive() { return connection }
                dropped()
            case .connect:
                do {
                    return try await Connection.open(configuration)
                } catch {
                    dropped()
                    throw error
                }
            }
        }
    }

    private func grant(until deadline: ContinuousClock.Instant) async throws -> Grant {
        switch state.withLock({ $0.pool.lease() }) {
        case .use(let connection): return .connection(connection)
        case .connect: return .connect
        case .closed: throw PostgresError(.poolClosed, "the client was closed")
        case .wait: break
        }
        let start = clock.now
        defer { waits.record(duration: clock.now - start) }
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return try await withThrowingTaskGroup(of: Grant.self) { group in
            group.addTask { try await self.wait(id) }
            group.addTask { [clock, configuration, timeouts] in
                try await pause(for: deadline - clock.now)
                timeouts.increment()
                throw PostgresError(
                    .acquireTimeout,
                    "all \(configuration.maximumConnections) connections stayed busy for \(configuration.acquireTimeout)"
                )
            }
            defer { group.cancelAll() }
            // If the waiter was served, that counts, or a connection handed over in the last moment would be lost.
            do {
                guard let grant = try await group.next() else { throw CancellationError() }
                return grant
            } catch {
                group.cancelAll()
                if let late = try? await group.next() { return late }
                throw error
            }
        }
    }

    private func wait(_ id: UInt64) async throws -> Grant {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let retry = state.withLock { state -> PoolState<Connection, Waiter>.Lease? in
                    if Task.isCancelled { return .wait }
                    return state.pool.enqueue(continuation, id: id) ? nil : state.pool.lease()
                }
                switch retry {
                case nil: break
                case .use(let connection): continuation.resume(returning: .connection(connection))
                case .connect: continuation.resume(returning: .connect)
                case .closed: continuation.resume(throwing: PostgresError(.poolClosed, "the client was closed"))
                case .wait: continuation.resume(throwing: CancellationError())
                }
            }
        } onCancel: {
            state.withLock { $0.pool.cancel(id) }?.resume(throwing: CancellationError())
        }
    }

    private func giveBack(_ connection: Connection) {
        guard connection.isReusable else { return dropped() }
        let now = clock.now
        act(on: state.withLock { $0.pool.giveBack(connection, now: now) })
    }

    private func dropped() { act(on: state.withLock { $0.pool.drop() }) }

    private func act(on action: PoolState<Connection, Waiter>.GiveBack) {
        switch action {
        case .hand(let waiter, let connection): waiter.resume(returning: .connection(connection))
        case .connect(let waiter): waiter.resume(returning: .connect)
        case .kept: break
        }
    }
}

package enum IsolationLevel: String, Sendable {
    case readCommitted = "READ COMMITTED"
    case repeatableRead = "REPEATABLE READ"
    case serializable = "SERIALIZABLE"
}
