// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

extension RepositoryStore {
    /// Manifests that leave a repository in one transaction. Each is counted out on its own, and pulls of the organization
    /// wait for as long as all that takes: about half a second.
    private static let batch = 250

    /// Removes the repository with its tags, batch by batch; what is pulled of it meanwhile is fetched again. The garbage
    /// collector takes what nothing references any more. A deletion that didn't come to its end is gone on with when it is
    /// called again.
    /// - Returns: false when the repository isn't there
    package func delete(
        _ name: RepositoryName,
        organization: OrganizationID,
        on client: PostgresClient
    ) async throws -> Bool {
        guard let repository = try await find(name, organization: organization, on: client) else { return false }
        return try await delete(repository, of: organization, on: client)
    }

    /// Removes all repositories of an organization in the same way.
    func deleteAll(of organization: OrganizationID, on client: PostgresClient) async throws {
        let repositories = try await client.query(
            "SELECT id FROM repository WHERE organization_id = \(organization.rawValue) ORDER BY id"
        ).decode(Int64.self).map(RepositoryID.init(rawValue:))
        for repository in repositories { _ = try await delete(repository, of: organization, on: client) }
    }

    private func delete(
        _ repository: RepositoryID,
        of organization: OrganizationID,
        on client: PostgresClient
    ) async throws -> Bool {
        while true {
            let isDeleted = try await client.withRetriedTransaction { transaction -> Bool? in
                try await UsageStore().lock(organization, on: transaction)
                // As a rule children were stored after the index that lists them. They go first, or they would be judged
                // anew when it goes.
                let members = try await transaction.execute(
                    """
                    DELETE FROM repository_manifest rm USING (
                        SELECT repository_id, manifest_id FROM repository_manifest
                        WHERE repository_id = \(repository.rawValue)
                        ORDER BY manifest_id DESC LIMIT \(Self.batch)
                    ) last
                    WHERE rm.repository_id = last.repository_id AND rm.manifest_id = last.manifest_id
                    """
                )
                guard members < Self.batch else { return nil }
                return try await transaction.execute("DELETE FROM repository WHERE id = \(repository.rawValue)") == 1
            }
            if let isDeleted { return isDeleted }
        }
    }
}

extension PostgresClient {
    /// Runs `body` inside a transaction, and once more when the server ended that to break a circle of waiters: who takes
    /// rows without the organization's lock, as pulls are written down and lifetimes forgotten, can close one.
    func withRetriedTransaction<Result>(
        _ body: (Connection) async throws -> Result
    ) async throws -> Result {
        do {
            return try await withTransaction(body)
        } catch let error as PostgresError where error.sqlState == .deadlockDetected {
            return try await withTransaction(body)
        }
    }
}
