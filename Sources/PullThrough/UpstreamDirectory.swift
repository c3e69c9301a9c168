// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
package import Models
package import Postgres

/// Conditions of upstreams by base URL, remembered for a moment; a notification makes it forget at once.
package struct UpstreamDirectory: Sendable {
    private let client: PostgresClient
    private let store = UpstreamStore()
    private let cache = BoundedCache<String, UpstreamCondition>(maximumCost: 1_000, lifetime: .seconds(1))
    private let finding = Coalescer<String, UpstreamCondition>()

    package init(client: PostgresClient, hub: ChangeHub) {
        self.client = client
        hub.onChange(of: .upstreams) { [cache] baseURL in
            if let baseURL { cache.remove(baseURL) } else { cache.removeAll() }
        }
    }

    package func condition(of baseURL: String) async throws -> UpstreamCondition {
        if let condition = cache[baseURL] { return condition }
        let condition = try await finding.value(for: baseURL) {
            try await store.condition(of: baseURL, on: client) ?? UpstreamCondition(baseURL: baseURL, health: .closed)
        }
        cache.insert(condition, for: baseURL)
        return condition
    }

    /// Forgets what was read of the upstream, because it was just changed.
    package func forget(_ baseURL: String) { cache.remove(baseURL) }
}
