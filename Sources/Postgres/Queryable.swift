// SPDX-License-Identifier: Apache-2.0

/// Whatever runs statements: the client, one of its connections, or a transaction on one. Stores take `some Queryable`,
/// so that each of their statements exists once.
package protocol Queryable: Sendable {
    /// Runs one statement in one round trip.
    /// Throws ``PostgresError``, or `CancellationError` when the task was cancelled (the statement, too).
    @discardableResult
    func query(_ query: Query) async throws -> Rows

    /// Adds rows to `target`, which is written `table (column, …)` in the source, in one statement.
    /// Throws as ``query(_:)`` does; then none of them is added.
    func copy(_ rows: CopyRows, into target: String) async throws
}

extension Queryable {
    /// Runs one statement and returns how many rows it touched.
    @discardableResult
    package func execute(_ query: Query) async throws -> Int {
        try await self.query(query).affectedRows
    }

    /// Runs a statement that the server keeps parsed and planned for each connection. For what runs all the time and is
    /// written as one text: planning takes longer than most of these take to run.
    @discardableResult
    package func query(prepared query: Query) async throws -> Rows {
        try await self.query(query.prepared)
    }
}
