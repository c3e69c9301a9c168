// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
package import Models
package import OCI
package import Postgres

/// Organizations, remembered for a moment; a notification makes it forget at once.
package struct OrganizationDirectory: Sendable {
    private struct Everything: Hashable {}

    private let client: PostgresClient
    private let isProxying: Bool
    private let store = OrganizationStore()
    private let finding = Coalescer<OrganizationName, Organization?>()
    private let cache = BoundedCache<OrganizationName, Organization>(maximumCost: 10_000, lifetime: .seconds(5))
    private let all = BoundedCache<Everything, [Organization]>(maximumCost: 2, lifetime: .seconds(5))

    /// - Parameter isProxying: false to know no upstreams
    package init(client: PostgresClient, hub: ChangeHub, isProxying: Bool = true) {
        self.client = client
        self.isProxying = isProxying
        hub.onChange(of: .organizations) { [cache, all] name in
            if let name, let name = OrganizationName(rawValue: name) { cache.remove(name) } else { cache.removeAll() }
            all.removeAll()
        }
    }

    package func find(_ name: OrganizationName) async throws -> Organization? {
        if let organization = cache[name] { return organization }
        let found = try await finding.value(for: name) { try await store.find(name, on: client) }
        guard let organization = found.map(known) else { return nil }
        cache.insert(organization, for: name)
        return organization
    }

    /// The organization that stands for a registry, and the repository in it that a mirror's request means.
    package func find(
        standingFor namespace: String,
        path: RepositoryName
    ) async throws -> (organization: Organization, repository: RepositoryName)? {
        var organizations = all[Everything()]
        if organizations == nil {
            let read = try await store.all(on: client).sorted { $0.id.rawValue < $1.id.rawValue }
            all.insert(read, for: Everything())
            organizations = read
        }
        return MirrorRules.choose(namespace, path: path, among: organizations ?? []).map { (known($0), $1) }
    }

    private func known(_ organization: Organization) -> Organization {
        isProxying ? organization : organization.withoutUpstream
    }
}
