// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Postgres

extension PostgresConfiguration {
    /// For tests that aren't about limits: a crowd of them on a small machine holds up any statement and any lock for longer
    /// than services may wait.
    package static func patient(
        _ connectionString: String,
        applicationName: String = "tests",
        maximumConnections: Int = 10
    ) -> PostgresConfiguration {
        var configuration = PostgresConfiguration(
            connectionString: connectionString,
            applicationName: applicationName,
            maximumConnections: maximumConnections
        )
        configuration.connectTimeout = .seconds(60)
        configuration.acquireTimeout = .seconds(60)
        configuration.lockTimeout = .seconds(60)
        configuration.cancelPatience = .seconds(60)
        configuration.queryTimeout = .seconds(90)
        configuration.statementTimeout = .seconds(90)
        configuration.idleInTransactionTimeout = .seconds(90)
        return configuration
    }
}

extension PostgresClient {
    /// Returns once another connection waits for something that this transaction holds.
    package func untilSomebodyWaits(for transaction: Connection) async throws {
        let holder = try await transaction.query("SELECT pg_backend_pid()").decodeFirst(Int.self) ?? 0
        try await eventually("somebody waits") {
            try await query("SELECT 1 FROM pg_stat_activity WHERE \(holder)::int = ANY(pg_blocking_pids(pid))").count
                == 1
        }
    }
}

/// Returns at once unless the day (UTC) is about to end; then when it has. For tests that look at partitions by day.
package func untilDayIsLong() async throws {
    let left = 86_400 - Int(Date().timeIntervalSince1970) % 86_400
    if left < 60 { try await Task.sleep(for: .seconds(left + 1)) }
}
