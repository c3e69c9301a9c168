// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import Upstream

extension UpstreamRepository {
    /// Where an organization's repository comes from, and the organization's configuration of this moment.
    /// - Throws: ``FetchFailure`` when the organization has no upstream (any more) or the name doesn't fit there.
    static func find(
        organization id: OrganizationID,
        repository: RepositoryName,
        _ organizations: OrganizationStore,
        on db: some Queryable
    ) async throws -> (UpstreamRepository, ProxyCacheConfig) {
        guard let organization = try await organizations.find(id, on: db), let config = organization.proxyCache else {
            throw FetchFailure(.notFound, "the organization proxies no upstream")
        }
        guard let name = config.upstream.upstreamName(of: repository) else {
            throw FetchFailure(.notFound, "\(config.upstream)/\(repository) is longer than a repository name can be")
        }
        let found = UpstreamRepository(
            address: config.upstream,
            name: name,
            organization: id,
            generation: config.generation,
            realmHosts: config.realmHosts
        )
        return (found, config)
    }
}
