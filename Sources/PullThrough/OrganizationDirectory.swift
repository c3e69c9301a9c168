// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
package import Models
package import Postgres

/// Organizations by name, remembered for a moment; a notification makes it forget at once.
package struct OrganizationDirectory: Sendable {
    private let client: PostgresClient
    private let store = OrganizationStore()
    private let cache = BoundedCache<OrganizationName, Organization>(maximumCost: 10_000, lifetime: .seconds(5))

    package init(client: PostgresClient, hub: ChangeHub) {
        self.client = client
        hub.onChange(of: .organizations) { [cache] name in
            if let name, let name = OrganizationName(rawValue: name) { cache.remove(name) } else { cache.removeAll() }
        }
    }

    package func find(_ name: OrganizationName) async throws -> Organization? {
        if let organization = cache[name] { return organization }
        guard let organization = try await store.find(name, on: client) else { return nil }
        cache.insert(organization, for: name)
        return organization
    }
}
