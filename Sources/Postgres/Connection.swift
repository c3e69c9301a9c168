// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Synchronization

/// One session with the server. Statements block this actor's own queue, and nothing else.
package actor Connection: Queryable {
    /// What the pool has to know without waiting for the queue.
    private struct Health {
        var isBroken = false
        var isIdle = true
        var isInFailedTransaction = false
    }

    nonisolated private let executor: SerialQueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let connection: PQConnection
    private let queryTimeout: Duration
    private nonisolated let cancelHandle: CancelHandle
    private nonisolated let health = Mutex(Health())
    private nonisolated let statements = Atomic<UInt64>(0)
    nonisolated let openedAt = ContinuousClock.now

    /// Connects. Throws ``PostgresError`` `connect`.
    static func open(_ configuration: PostgresConfiguration) async throws -> Connection {
        let executor = SerialQueueExecutor(label: "entrepot.postgres")
        let opener = Opener(executor: executor)
        return try await opener.open(configuration)
    }

    /// Does the waiting of a connect on the connection's queue.
    private actor Opener {
        private let executor: SerialQueueExecutor
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

        init(executor: SerialQueueExecutor) { self.executor = executor }

        func open(_ configuration: PostgresConfiguration) throws -> Connection {
            let connection = try PQConnection(
                connectionString: configuration.connectionString,
                applicationName: configuration.applicationName,
                timeout: configuration.connectTimeout,
                cancelPatience: configuration.cancelPatience
            )
            _ = try connection.execute(Self.session(configuration), timeout: configuration.connectTimeout) {}
            return Connection(connection, executor, configuration)
        }

        /// Limits that the server keeps even if we don't. Statements take milliseconds: compiling one, for which a wrong
        /// estimate is enough, takes longer than it could save.
        private static func session(_ configuration: PostgresConfiguration) -> Query {
            func milliseconds(_ duration: Duration) -> String { String(Int64(duration / .milliseconds(1))) }
            return """
                SELECT set_config('statement_timeout', \(milliseconds(configuration.statementTimeout)), false),
                    set_config('lock_timeout', \(milliseconds(configuration.lockTimeout)), false),
                    set_config('idle_in_transaction_session_timeout',
                        \(milliseconds(configuration.idleInTransactionTimeout)), false),
                    set_config('jit', 'off', false), set_config('TimeZone', 'UTC', false)
                """
        }
    }

    private init(
        _ connection: sending PQConnection,
        _ executor: SerialQueueExecutor,
        _ configuration: PostgresConfiguration
    ) {
        self.cancelHandle = CancelHandle(connection, patience: configuration.cancelPatience)
        self.connection = connection
        self.executor = executor
        self.queryTimeout = configuration.queryTimeout
    }

    @discardableResult
    package func query(_ query: Query) async throws -> Rows {
        try await cancellable { connection, timeout, cancel throws(PostgresError) in
            try connection.execute(query, timeout: timeout, cancel: cancel)
        }
    }

    /// Runs statements separated by semicolons, without binds, as migrations are written.
    package func runScript(_ sql: String) async throws {
        try await cancellable { connection, timeout, cancel throws(PostgresError) in
            try connection.execute(script: sql, timeout: timeout, cancel: cancel)
        }
    }

    package func copy(_ rows: CopyRows, into target: String) async throws {
        try await cancellable { connection, timeout, cancel throws(PostgresError) in
            try connection.copy(rows, into: target, timeout: timeout, cancel: cancel)
        }
    }

    private func cancellable<Result>(
        _ body: (PQConnection, Duration, () -> Void) throws(PostgresError) -> Result
    ) async throws -> Result {
        let statement = statements.add(1, ordering: .relaxed).newValue
        let cancelHandle = cancelHandle
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            do throws(PostgresError) { try cancelHandle.begin(statement) } catch {
                health.withLock { $0.isBroken = true }
                throw error
            }
            defer {
                cancelHandle.end()
                noteHealth()
            }
            // The handler may have run before `begin`, when there was nothing to cancel.
            try Task.checkCancellation()
            do throws(PostgresError) {
                return try body(connection, queryTimeout) { cancelHandle.cancel(statement) }
            } catch {
                if error.sqlState == .queryCanceled, Task.isCancelled { throw CancellationError() }
                throw error
            }
        } onCancel: {
            cancelHandle.cancel(statement)
        }
    }

    /// Notifications for channels that this session listens to, waiting for the first one until the deadline or until
    /// somebody writes to the wake descriptor.
    func notifications(until deadline: ContinuousClock.Instant, wake: Int32) throws -> [(String, String)] {
        defer { noteHealth() }
        return try connection.notifications(until: deadline, wake: wake)
    }

    /// Whether the connection may be used for something new. False once it broke or the server closed it.
    func isAlive() -> Bool {
        let isClosed = connection.hasBeenClosed()
        if isClosed { health.withLock { $0.isBroken = true } }
        return !isClosed
    }

    /// Broken, or inside a transaction that its user left open: not to be given to anybody else.
    nonisolated var isReusable: Bool { health.withLock { !$0.isBroken && $0.isIdle } }

    /// A statement of the open transaction was refused: COMMIT would undo the rest and report success.
    nonisolated var isInFailedTransaction: Bool { health.withLock { $0.isInFailedTransaction } }

    private func noteHealth() {
        let isBroken = connection.isBroken
        let isIdle = connection.isIdle
        let isInFailedTransaction = connection.isInFailedTransaction
        health.withLock { health in
            health.isBroken = health.isBroken || isBroken
            health.isIdle = isIdle
            health.isInFailedTransaction = isInFailedTransaction
        }
    }
}
