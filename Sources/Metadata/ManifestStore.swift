// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// Manifests and their membership in repositories.
package struct ManifestStore: Sendable {
    private let repositories = RepositoryStore()

    package init() {}

    /// The manifest, if this repository has it; content that only other repositories have doesn't exist here.
    package func find(
        _ digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> ManifestRecord? {
        try await db.query(
            """
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
    /// Runs inside the caller's transaction; safe to repeat. Blob rows are inserted in digest order, so that two of
    /// these never wait for each other in a circle.
    package func store(
        _ document: ManifestDocument,
        bytes: [UInt8],
        digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> (repository: RepositoryID, manifest: ManifestID) {
        let repositoryID = try await repositories.ensure(repository, organization: organization, on: db)
        let inserted = try await db.query(
            """
            INSERT INTO manifest (digest, kind, size_bytes, bytes, subject_digest)
            VALUES (\(digest.description), \(kind(of: document))::manifest_kind, \(bytes.count),
                \(Data(bytes)), \(document.subject?.digest.description))
            ON CONFLICT (digest) DO NOTHING
            RETURNING id
            """
        ).decodeFirst(Int64.self)
        let manifestID: ManifestID
        if let inserted {
            manifestID = ManifestID(rawValue: inserted)
            try await insertBlobs(of: document, manifest: manifestID, on: db)
            try await insertChildren(of: document, manifest: manifestID, on: db)
        } else {
            let id = try await db.query("SELECT id FROM manifest WHERE digest = \(digest.description)")
                .decodeFirst(Int64.self)
            guard let id else { throw MetadataError(.corruptRow, "manifest vanished while it was stored") }
            manifestID = ManifestID(rawValue: id)
        }
        try await db.query(
            """
            INSERT INTO repository_manifest (repository_id, manifest_id, media_type)
            VALUES (\(repositoryID.rawValue), \(manifestID.rawValue), \(document.mediaType.rawValue))
            ON CONFLICT (repository_id, manifest_id) DO NOTHING
            """
        )
        return (repositoryID, manifestID)
    }

    private func insertBlobs(
        of document: ManifestDocument,
        manifest: ManifestID,
        on db: some Queryable
    ) async throws {
        let blobs = (document.config.map { [$0] } ?? []) + document.layers
        guard !blobs.isEmpty else { return }
        let digests = blobs.map(\.digest.description)
        try await db.query(
            """
            INSERT INTO blob (digest)
            SELECT DISTINCT d FROM unnest(\(digests)::text[]) AS d ORDER BY d
            ON CONFLICT (digest) DO NOTHING
            """
        )
        let roles = document.config == nil ? [] : ["config"]
        try await db.query(
            """
            INSERT INTO manifest_blob (manifest_id, position, role, digest, size_bytes, media_type)
            SELECT \(manifest.rawValue), position - 1, role::blob_role, digest, size_bytes, media_type
            FROM unnest(
                \(roles + document.layers.map { _ in "layer" })::text[],
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
        let children = document.manifests
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
