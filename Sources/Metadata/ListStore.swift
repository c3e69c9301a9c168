// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// Lists of what a repository has.
package struct ListStore: Sendable {
    private let repositories = RepositoryStore()

    package init() {}

    /// A part of the tags that upstream listed: those after `last`, in the order of their bytes. Nil when nothing was
    /// listed under this generation of the organization's configuration.
    package func upstreamTags(
        of repository: RepositoryName,
        organization: OrganizationID,
        generation: Int64,
        after last: String?,
        limit: Int,
        on db: some Queryable
    ) async throws -> StoredList<String>? {
        try await db.query(
            """
            SELECT extract(epoch FROM now() - l.checked_at)::float8, ARRAY(
                SELECT name FROM unnest(l.names) AS name
                WHERE name COLLATE "C" > \(last ?? "") ORDER BY name COLLATE "C" LIMIT \(limit)
            )
            FROM tag_list l JOIN repository r ON r.id = l.repository_id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND l.generation = \(generation)
            """
        ).decodeFirst((Double, [String]).self).map { age, names in
            StoredList(elements: names, sinceCheck: .seconds(max(0, age)))
        }
    }

    /// Stores what upstream listed. Runs in the caller's transaction; the list of an older configuration is never put in
    /// the place of a newer one's.
    package func storeTags(
        _ names: [TagName],
        of repository: RepositoryName,
        organization: OrganizationID,
        generation: Int64,
        on transaction: some Queryable
    ) async throws {
        let id = try await repositories.ensure(repository, organization: organization, on: transaction)
        try await transaction.query(
            """
            INSERT INTO tag_list (repository_id, generation, names)
            VALUES (\(id.rawValue), \(generation), \(names.map(\.rawValue))::text[])
            ON CONFLICT (repository_id) DO UPDATE
            SET generation = excluded.generation, names = excluded.names, checked_at = now()
            WHERE tag_list.generation <= excluded.generation
            """
        )
    }

    /// What upstream listed as referrers of a manifest, in its order; nil as for ``upstreamTags(of:organization:generation:after:limit:on:)``.
    package func upstreamReferrers(
        of subject: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        generation: Int64,
        on db: some Queryable
    ) async throws -> StoredList<Descriptor>? {
        try await db.query(
            """
            SELECT extract(epoch FROM now() - l.checked_at)::float8, l.descriptors
            FROM referrer_list l JOIN repository r ON r.id = l.repository_id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND l.subject_digest = \(subject.description) AND l.generation = \(generation)
            """
        ).decodeFirst((Double, String).self).map { age, json in
            do {
                let descriptors = try JSONDecoder().decode([Descriptor].self, from: Data(json.utf8))
                return StoredList(elements: descriptors, sinceCheck: .seconds(max(0, age)))
            } catch {
                throw MetadataError(.corruptRow, "referrers of \(subject) can't be read: \(error)")
            }
        }
    }

    /// The same as ``storeTags(_:of:organization:generation:on:)`` for referrers. That there are none is stored of manifests
    /// that the repository has here, and of nothing else.
    package func storeReferrers(
        _ descriptors: [Descriptor],
        of subject: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        generation: Int64,
        on transaction: some Queryable
    ) async throws {
        // Nothing attached to nothing that we know: whoever asks for made-up names and digests leaves no rows.
        if descriptors.isEmpty, try await !has(subject, repository, organization, on: transaction) {
            // What was told before isn't true any more.
            try await transaction.query(
                """
                DELETE FROM referrer_list l USING repository r
                WHERE r.id = l.repository_id AND r.organization_id = \(organization.rawValue)
                    AND r.name = \(repository.rawValue) AND l.subject_digest = \(subject.description)
                    AND l.generation <= \(generation)
                """
            )
            return
        }
        let id = try await repositories.ensure(repository, organization: organization, on: transaction)
        try await transaction.query(
            """
            INSERT INTO referrer_list (repository_id, subject_digest, generation, descriptors)
            VALUES (\(id.rawValue), \(subject.description), \(generation), \(json: descriptors))
            ON CONFLICT (repository_id, subject_digest) DO UPDATE
            SET generation = excluded.generation, descriptors = excluded.descriptors, checked_at = now()
            WHERE referrer_list.generation <= excluded.generation
            """
        )
    }

    private func has(
        _ digest: Digest,
        _ repository: RepositoryName,
        _ organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        let found = try await db.query(
            """
            SELECT 1 FROM repository r JOIN repository_manifest rm ON rm.repository_id = r.id
            JOIN manifest m ON m.id = rm.manifest_id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND m.digest = \(digest.description)
            """
        )
        return !found.isEmpty
    }

    /// Names of live tags in the order of their bytes, after `last`. Nil when the repository doesn't exist here.
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

/// A list as upstream last told it.
package struct StoredList<Element: Sendable & Hashable>: Sendable, Hashable {
    package let elements: [Element]
    /// Since upstream told it, by the database's clock.
    package let sinceCheck: Duration

    package init(elements: [Element], sinceCheck: Duration) {
        self.elements = elements
        self.sinceCheck = sinceCheck
    }
}
