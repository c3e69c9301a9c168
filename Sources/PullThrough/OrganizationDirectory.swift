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
    private let defaultName: OrganizationName?
    private let store = OrganizationStore()
    private let finding = Coalescer<OrganizationName, Organization?>()
    /// Nil for what is known not to be there.
    private let cache = BoundedCache<OrganizationName, Organization?>(maximumCost: 10_000, lifetime: .seconds(5))
    private let all = BoundedCache<Everything, [Organization]>(maximumCost: 2, lifetime: .seconds(5))

    /// - Parameters:
    ///   - isProxying: false to know no upstreams
    ///   - defaultName: of the organization that paths mean which name none; nil for none
    package init(
        client: PostgresClient,
        hub: ChangeHub,
        isProxying: Bool = true,
        defaultName: OrganizationName? = nil
    ) {
        self.client = client
        self.isProxying = isProxying
        self.defaultName = defaultName
        hub.onChange(of: .organizations) { [cache, all] name in
            if let name, let name = OrganizationName(rawValue: name) { cache.remove(name) } else { cache.removeAll() }
            all.removeAll()
        }
    }

    package func find(_ name: OrganizationName) async throws -> Organization? {
        if let known = cache[name] { return known }
        let found = try await finding.value(for: name) { try await store.find(name, on: client) }
        let organization = found.map(known)
        // Where there is a default, most paths begin with what is no organization.
        if organization != nil || defaultName != nil { cache.insert(organization, for: name) }
        return organization
    }

    /// The organization and the repository in it that a path means: the first component names the organization. A path
    /// that starts with no organization's name, as Docker's mirrors are asked for (`library/alpine`), is the default
    /// one's, if there is that.
    package func find(
        path: RepositoryName
    ) async throws -> (organization: Organization, repository: RepositoryName)? {
        if let first = OrganizationName(rawValue: String(path.firstComponent)),
            let below = path.dropping(1), let organization = try await find(first)
        {
            return (organization, below)
        }
        guard let defaultName, let organization = try await find(defaultName) else { return nil }
        return (organization, path)
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
