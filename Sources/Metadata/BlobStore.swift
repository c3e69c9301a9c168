// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// Blob records: which digests are named by manifests, and where their bytes are.
package struct BlobStore: Sendable {
    package init() {}

    /// The blob, if a manifest of this repository names it. Content that only other repositories name doesn't exist
    /// here, whether its bytes are present or not. Of several declared sizes the stored one counts, if it is among them,
    /// else that of the newest manifest.
    package func find(
        _ digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> DeclaredBlob? {
        let named: Query = """
            SELECT mb.size_bytes, b.generation, b.size_bytes
            FROM repository r
            JOIN repository_manifest rm ON rm.repository_id = r.id
            JOIN manifest_blob mb ON mb.manifest_id = rm.manifest_id AND mb.digest = \(digest.description)
            JOIN blob b ON b.digest = mb.digest
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
            """
        // The first one that is found will do as a rule; a layer may be in thousands of a repository's images.
        var rows = try await db.query(prepared: "\(named) AND mb.size_bytes = b.size_bytes LIMIT 1")
        if rows.isEmpty {
            rows = try await db.query(prepared: "\(named) ORDER BY rm.created_at DESC, rm.manifest_id DESC LIMIT 1")
        }
        return try rows.first.map { row in
            let (declared, generation, size) = try row.decode((Int64, UUID?, Int64?).self)
            return DeclaredBlob(
                digest: digest,
                sizeBytes: declared,
                placement: Self.placement(digest, generation, size)
            )
        }
    }

    /// Where manifests of this repository say that a foreign layer may be had; nil when it is none.
    package func foreignAddresses(
        of digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> [String]? {
        let manifests = try await db.query(
            """
            SELECT m.id, r.id, m.digest, rm.media_type, m.bytes
            FROM repository r
            JOIN repository_manifest rm ON rm.repository_id = r.id
            JOIN manifest m ON m.id = rm.manifest_id
            JOIN manifest_blob mb ON mb.manifest_id = m.id AND mb.digest = \(digest.description)
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND \(unescaped: ImageStateStore.isForeign)
            ORDER BY m.id DESC LIMIT 8
            """
        ).map(ManifestStore.manifest)
        guard !manifests.isEmpty else { return nil }
        return try manifests.flatMap { manifest in
            // What is stored was parsed before: a failure here is a corrupt row.
            try ManifestDocument(bytes: manifest.bytes, contentType: manifest.mediaType).blobs
                .filter { $0.digest == digest && $0.mediaType.isForeignLayer }
                .flatMap { $0.urls ?? [] }
        }
    }

    /// Nil when no manifest names the digest.
    package func state(of digest: Digest, on db: some Queryable) async throws -> BlobState? {
        try await db.query(
            prepared: """
                SELECT generation, size_bytes, partial_generation, partial_validator
                FROM blob WHERE digest = \(digest.description)
                """
        ).first.map { row in
            let (generation, size, partial, validator) = try row.decode((UUID?, Int64?, UUID?, String?).self)
            return BlobState(
                placement: Self.placement(digest, generation, size),
                partial: partial.map { PartialRecord(generation: Generation(rawValue: $0), validator: validator) }
            )
        }
    }

    /// The statement which says what partial is being filled, or (nil) that there is none.
    package func recording(_ partial: PartialRecord?, of digest: Digest) -> Query {
        """
        UPDATE blob
        SET partial_generation = \(partial?.generation.rawValue), partial_validator = \(partial?.validator),
            partial_bytes = NULL, partial_bytes_per_s = NULL
        WHERE digest = \(digest.description)
        """
    }

    /// The statement which says that this partial is gone, unless another one has taken its place.
    package func forgetting(_ partial: Generation, of digest: Digest) -> Query {
        "\(recording(nil, of: digest)) AND partial_generation = \(partial.rawValue)"
    }

    /// Says that the bytes are there. The object must be durable before, and the locks of ``UsageStore/lockHolders(of:on:)``
    /// held.
    /// - Returns: the copy that this one replaces, whose object nobody needs any more.
    package func place(_ placement: BlobPlacement, on db: some Queryable) async throws -> BlobPlacement? {
        let old = try await db.query(
            """
            WITH old AS (
                SELECT digest, generation, size_bytes FROM blob
                WHERE digest = \(placement.digest.description) FOR NO KEY UPDATE
            )
            UPDATE blob
            SET generation = \(placement.generation.rawValue), size_bytes = \(placement.sizeBytes), placed_at = now(),
                partial_generation = NULL, partial_validator = NULL,
                partial_bytes = NULL, partial_bytes_per_s = NULL
            FROM old WHERE blob.digest = old.digest
            RETURNING old.generation, old.size_bytes
            """
        ).decodeFirst((UUID?, Int64?).self)
        guard let old else { throw MetadataError(.corruptRow, "blob row vanished while its bytes were fetched") }
        return Self.placement(placement.digest, old.0, old.1)
    }

    /// Says that the bytes of this copy are gone (its object is missing or damaged), so that the next pull fetches them.
    /// - Returns: false when the blob has another copy by now.
    @discardableResult
    package func unplace(_ placement: BlobPlacement, on client: PostgresClient) async throws -> Bool {
        try await client.withTransaction { transaction in
            try await UsageStore().lockHolders(of: placement.digest, on: transaction)
            return try await transaction.execute(
                """
                UPDATE blob SET generation = NULL, size_bytes = NULL, placed_at = NULL
                WHERE digest = \(placement.digest.description) AND generation = \(placement.generation.rawValue)
                """
            ) == 1
        }
    }

    /// Whether some organization has it alive: nobody fetches ahead what was pruned, or has expired, meanwhile.
    package func isAlive(_ digest: Digest, on db: some Queryable) async throws -> Bool {
        try await db.query(
            """
            SELECT EXISTS (
                SELECT 1 FROM organization_content
                WHERE digest = \(digest.description) AND NOT is_manifest AND live_holders > 0
            )
            """
        ).decodeFirst(Bool.self) ?? false
    }

    /// Partials that some row still speaks of, among these.
    package func known(partials: [Generation], on db: some Queryable) async throws -> Set<Generation> {
        let rows = try await db.query(
            "SELECT partial_generation FROM blob WHERE partial_generation = ANY(\(partials.map(\.rawValue))::uuid[])"
        ).decode(UUID.self)
        return Set(rows.map { Generation(rawValue: $0) })
    }

    private static func placement(_ digest: Digest, _ generation: UUID?, _ size: Int64?) -> BlobPlacement? {
        guard let generation, let size else { return nil }
        return BlobPlacement(digest: digest, generation: Generation(rawValue: generation), sizeBytes: size)
    }
}
