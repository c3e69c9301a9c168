// SPDX-License-Identifier: Apache-2.0

/// How to reach a database, and how long to wait for it.
package struct PostgresConfiguration: Sendable {
    /// A libpq connection string: URL or `key=value` words. TLS is set here (`sslmode`, `sslrootcert`, …).
    package var connectionString: String
    /// Shown in `pg_stat_activity`.
    package var applicationName: String
    package var maximumConnections: Int

    package var connectTimeout: Duration = .seconds(5)
    /// How long a caller waits for a free connection.
    package var acquireTimeout: Duration = .seconds(10)
    /// After which a statement is cancelled by us; `statementTimeout` is the server's own limit.
    package var queryTimeout: Duration = .seconds(30)
    package var statementTimeout: Duration = .seconds(30)
    package var lockTimeout: Duration = .seconds(10)
    package var idleInTransactionTimeout: Duration = .seconds(30)
    /// How long a cancellation may take to reach the server, and a cancelled or overdue statement to end, before its connection
    /// is given up.
    package var cancelPatience: Duration = .seconds(5)
    /// After which an unused connection is closed.
    package var idleTimeout: Duration = .seconds(60)
    /// After which any connection is replaced.
    package var maximumLifetime: Duration = .seconds(3_600)

    /// Whether libpq can read the connection string; whether it leads anywhere is another matter.
    package var isWellFormed: Bool { PQConnection.canRead(connectionString) }

    package init(
        connectionString: String,
        applicationName: String = "entrepot",
        maximumConnections: Int = 10
    ) {
        self.connectionString = connectionString
        self.applicationName = applicationName
        self.maximumConnections = maximumConnections
    }
}
