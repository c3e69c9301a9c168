// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// Lists of what a repository has.
package struct ListStore: Sendable {
    package init() {}

    /// Names of live tags in the order of their bytes, after `last`. Nil when the repository doesn't exist.
    package func tags(
        of repository: RepositoryName,
        organization: OrganizationID,
        after last: String?,
        limit: Int,
        on db: some Queryable
    ) async throws -> [String]? {
        let names = try await db.query(
            """
            SELECT t.name
            FROM repository r
            LEFT JOIN LATERAL (
                SELECT name FROM tag
                WHERE repository_id = r.id AND lifetime_end_at IS NULL
                    AND (expires_at IS NULL OR expires_at > now())
                    AND name COLLATE "C" > \(last ?? "")
                ORDER BY name COLLATE "C" LIMIT \(limit)
            ) t ON true
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            ORDER BY t.name COLLATE "C"
            """
        ).decode(String?.self)
        return names.isEmpty ? nil : names.compactMap { $0 }
    }

    /// Manifests of the repository that name the digest as their subject, oldest first.
    package func referrers(
        of subject: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> [ManifestRecord] {
        try await db.query(
            """
            SELECT m.id, r.id, m.digest, rm.media_type, m.bytes
            FROM repository r
            JOIN repository_manifest rm ON rm.repository_id = r.id
            JOIN manifest m ON m.id = rm.manifest_id AND m.subject_digest = \(subject.description)
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            ORDER BY m.id LIMIT 1000
            """
        ).map(ManifestStore.manifest)
    }
}
