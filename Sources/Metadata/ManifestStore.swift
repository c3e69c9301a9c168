// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// Manifests and their membership in repositories.
package struct ManifestStore: Sendable {
    /// What keeps a manifest that is being stored.
    package enum Keeping: Sendable, Hashable {
        /// A tag, which the caller points at it, or nothing.
        case tag
        /// Its pull by digest, for as long as the organization's expiration says, unless a living index lists it.
        case hold
        /// Nothing: it is streamed to a client, and collected.
        case bypass
    }

    private let repositories = RepositoryStore()
    private let usage = UsageStore()

    package init() {}

    /// The manifest, if this repository has it; content that only other repositories have doesn't exist here.
    package func find(
        _ digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> ManifestRecord? {
        try await db.query(
            prepared: """
                SELECT m.id, r.id, m.digest, rm.media_type, m.bytes
                FROM repository r
                JOIN repository_manifest rm ON rm.repository_id = r.id
                JOIN manifest m ON m.id = rm.manifest_id
                WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                    AND m.digest = \(digest.description)
                """
        ).first.map(Self.manifest)
    }

    /// Stores a verified manifest and makes it a member of the repository, which is made if need be.
    /// Runs inside the caller's transaction; safe to repeat. Locks are taken in the order of ``UsageStore``, so that two of
    /// these never wait for each other in a circle.
    /// - Parameter isOversized: larger than the organization's quota, and kept all the same
    package func store(
        _ document: ManifestDocument,
        bytes: [UInt8],
        digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        keeping: Keeping = .hold,
        isOversized: Bool = false,
        on db: some Queryable
    ) async throws -> (repository: RepositoryID, manifest: ManifestID) {
        try await usage.lock(organization, on: db)
        try await ensureBlobs(of: document, on: db)
        let repositoryID = try await repositories.ensure(repository, organization: organization, on: db)
        // The no-op update locks the row that exists, so that the collector leaves it alone.
        let stored = try await db.query(
            """
            INSERT INTO manifest (digest, kind, size_bytes, bytes, subject_digest)
            VALUES (\(digest.description), \(kind(of: document))::manifest_kind, \(bytes.count),
                \(Data(bytes)), \(document.subject?.digest.description))
            ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest
            RETURNING id, xmax = 0
            """
        ).decodeFirst((Int64, Bool).self)
        guard let (id, isNew) = stored else { throw MetadataError(.corruptRow, "INSERT INTO manifest returned no row") }
        let manifestID = ManifestID(rawValue: id)
        if isNew {
            try await insertBlobs(of: document, manifest: manifestID, on: db)
            try await insertChildren(of: document, manifest: manifestID, on: db)
        }
        try await db.query(
            """
            INSERT INTO repository_manifest AS rm
                (repository_id, manifest_id, media_type, held_until, is_bypassed, is_oversized)
            SELECT \(repositoryID.rawValue), \(manifestID.rawValue), \(document.mediaType.rawValue),
                CASE WHEN \(keeping == .hold) AND NOT EXISTS (
                    SELECT 1 FROM manifest_child c
                    JOIN repository_manifest p ON p.manifest_id = c.parent_id AND p.repository_id = \(repositoryID.rawValue)
                    WHERE c.digest = \(digest.description) AND p.released_at IS NULL
                ) THEN \(unescaped: PullStore.holdEnd) END,
                \(keeping == .bypass), \(isOversized)
            FROM organization o LEFT JOIN proxy_cache_config c ON c.organization_id = o.id
            WHERE o.id = \(organization.rawValue)
            ON CONFLICT (repository_id, manifest_id) DO UPDATE
            SET held_until = CASE WHEN rm.released_at IS NULL AND rm.held_until IS NULL THEN NULL
                    ELSE coalesce(excluded.held_until, rm.held_until) END,
                is_bypassed = excluded.is_bypassed AND rm.released_at IS NOT NULL,
                is_oversized = excluded.is_oversized
            """
        )
        return (repositoryID, manifestID)
    }

    /// Makes the rows of the blobs that have none, and locks those that have: nobody's bytes come, go or are condemned
    /// until the manifest that names them is stored.
    private func ensureBlobs(of document: ManifestDocument, on db: some Queryable) async throws {
        let blobs = document.blobs
        guard !blobs.isEmpty else { return }
        try await db.query(
            """
            INSERT INTO blob (digest, declared_bytes)
            SELECT digest, min(size_bytes)
            FROM unnest(\(blobs.map(\.digest.description))::text[], \(blobs.map(\.reservedBytes))::bigint[])
                AS b (digest, size_bytes)
            GROUP BY digest ORDER BY digest
            ON CONFLICT (digest) DO UPDATE SET condemned_at = NULL WHERE blob.condemned_at IS NOT NULL
            """
        )
    }

    private func insertBlobs(
        of document: ManifestDocument,
        manifest: ManifestID,
        on db: some Queryable
    ) async throws {
        let blobs = document.blobs
        guard !blobs.isEmpty else { return }
        let digests = blobs.map(\.digest.description)
        let roles = blobs.indices.map { $0 == 0 && document.config != nil ? "config" : "layer" }
        try await db.query(
            """
            INSERT INTO manifest_blob (manifest_id, position, role, digest, size_bytes, media_type)
            SELECT \(manifest.rawValue), position - 1, role::blob_role, digest, size_bytes, media_type
            FROM unnest(
                \(roles)::text[],
                \(digests)::text[],
                \(blobs.map(\.size))::bigint[],
                \(blobs.map(\.mediaType.rawValue))::text[]
            ) WITH ORDINALITY AS b (role, digest, size_bytes, media_type, position)
            """
        )
    }

    private func insertChildren(
        of document: ManifestDocument,
        manifest: ManifestID,
        on db: some Queryable
    ) async throws {
        let children = document.children
        guard !children.isEmpty else { return }
        try await db.query(
            """
            INSERT INTO manifest_child (parent_id, position, digest, size_bytes, media_type, os, architecture, variant)
            SELECT \(manifest.rawValue), position - 1, digest, size_bytes, media_type,
                nullif(os, ''), nullif(architecture, ''), nullif(variant, '')
            FROM unnest(
                \(children.map(\.digest.description))::text[],
                \(children.map(\.size))::bigint[],
                \(children.map(\.mediaType.rawValue))::text[],
                \(children.map { $0.platform?.os ?? "" })::text[],
                \(children.map { $0.platform?.architecture ?? "" })::text[],
                \(children.map { $0.platform?.variant ?? "" })::text[]
            ) WITH ORDINALITY AS c (digest, size_bytes, media_type, os, architecture, variant, position)
            """
        )
    }

    private func kind(of document: ManifestDocument) -> String {
        switch document.kind {
        case .image: "image"
        case .index: "index"
        case .artifact: "artifact"
        }
    }

    static func manifest(_ row: Row) throws -> ManifestRecord {
        let (id, repository, digest, mediaType, bytes) = try row.decode((Int64, Int64, String, String, Data).self)
        return ManifestRecord(
            id: ManifestID(rawValue: id),
            repository: RepositoryID(rawValue: repository),
            digest: try parsed(digest, "digest"),
            mediaType: try parsed(mediaType, "media_type"),
            bytes: Array(bytes)
        )
    }
}

extension Descriptor {
    /// What is counted of a blob before its bytes are here. Foreign layers may never come; they count once they are here.
    var reservedBytes: Int64 { mediaType.isForeignLayer ? 0 : size }
}
