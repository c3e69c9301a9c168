// SPDX-License-Identifier: Apache-2.0

package import Postgres

/// Something that must work before requests are welcome.
package struct HealthCheck: Sendable {
    package let name: String
    /// Throws when it doesn't work.
    package let probe: @Sendable () async throws -> Void

    package init(_ name: String, _ probe: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.probe = probe
    }

    package static func database(_ client: PostgresClient) -> HealthCheck {
        HealthCheck("database") { try await client.query("SELECT 1") }
    }
}
