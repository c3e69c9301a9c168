// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Repositories of organizations.
package struct RepositoryStore: Sendable {
    package init() {}

    package func find(
        _ name: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> RepositoryID? {
        try await db.query(
            "SELECT id FROM repository WHERE organization_id = \(organization.rawValue) AND name = \(name.rawValue)"
        ).decodeFirst(Int64.self).map(RepositoryID.init(rawValue:))
    }

    /// The repository's row, made if need be, and locked against its removal until the caller's transaction ends.
    package func ensure(
        _ name: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> RepositoryID {
        // The no-op update makes RETURNING answer for a row that exists.
        let id = try await db.query(
            """
            INSERT INTO repository (organization_id, name)
            VALUES (\(organization.rawValue), \(name.rawValue))
            ON CONFLICT (organization_id, name) DO UPDATE SET name = excluded.name
            RETURNING id
            """
        ).decodeFirst(Int64.self)
        guard let id else { throw MetadataError(.corruptRow, "repository vanished while it was made") }
        return RepositoryID(rawValue: id)
    }
}
