// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
import OCI
package import Postgres

/// Stored objects against their rows.
package struct ScrubStore: Sendable {
    package init() {}

    /// The object that was read the longest time ago, if that is an interval or more, which is now this caller's to read.
    package func next(readBefore interval: Duration, on db: some Queryable) async throws -> BlobPlacement? {
        try await db.query(
            """
            UPDATE blob SET scrubbed_at = now() WHERE digest IN (
                SELECT digest FROM blob
                WHERE generation IS NOT NULL AND coalesce(scrubbed_at, placed_at) < now() - \(seconds: interval)
                ORDER BY coalesce(scrubbed_at, placed_at) LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
            )
            RETURNING digest, generation, size_bytes
            """
        ).decode((String, UUID?, Int64?).self).compactMap(Self.placement).first
    }

    /// Which of these objects some row speaks of, be it as a copy, as one that is about to be, or as garbage.
    package func known(_ generations: [Generation], on db: some Queryable) async throws -> Set<Generation> {
        let asked = generations.map(\.rawValue)
        let rows = try await db.query(
            """
            SELECT generation FROM blob WHERE generation = ANY(\(asked)::uuid[])
            UNION SELECT partial_generation FROM blob WHERE partial_generation = ANY(\(asked)::uuid[])
            UNION SELECT generation FROM garbage WHERE generation = ANY(\(asked)::uuid[])
            """
        ).decode(UUID.self)
        return Set(rows.map(Generation.init(rawValue:)))
    }

    /// Copies of blobs whose digests begin so, and that have been there for a while.
    package func placements(
        prefix: String,
        placedBefore age: Duration,
        on db: some Queryable
    ) async throws -> [BlobPlacement] {
        try await db.query(
            """
            SELECT digest, generation, size_bytes FROM blob
            WHERE digest LIKE \(prefix + "%") AND generation IS NOT NULL AND placed_at < now() - \(seconds: age)
            """
        ).decode((String, UUID?, Int64?).self).compactMap(Self.placement)
    }

    private static func placement(_ digest: String, _ generation: UUID?, _ size: Int64?) throws -> BlobPlacement? {
        guard let generation, let size else { return nil }
        return BlobPlacement(
            digest: try parsed(digest, "digest"),
            generation: Generation(rawValue: generation),
            sizeBytes: size
        )
    }
}
