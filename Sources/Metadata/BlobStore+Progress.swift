// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// How far blobs have come, for those who watch.
extension BlobStore {
    /// Writes down how far partials have come. A partial that was replaced or published meanwhile is passed over, and so is
    /// one that somebody is at: it is noted the next time, and many rows are never waited for in an order of their own.
    package func note(_ progress: [PartialNote], on db: some Queryable) async throws {
        guard !progress.isEmpty else { return }
        try await db.query(
            """
            WITH free AS MATERIALIZED (
                SELECT blob.digest, seen.bytes, seen.rate
                FROM blob JOIN unnest(
                    \(progress.map(\.digest.description))::text[], \(progress.map(\.generation.rawValue))::uuid[],
                    \(progress.map(\.storedBytes))::bigint[], \(progress.map(\.bytesPerSecond))::bigint[]
                ) AS seen (digest, generation, bytes, rate)
                    ON blob.digest = seen.digest AND blob.partial_generation = seen.generation
                FOR NO KEY UPDATE OF blob SKIP LOCKED
            )
            UPDATE blob SET partial_bytes = free.bytes, partial_bytes_per_s = free.rate
            FROM free WHERE blob.digest = free.digest
            """
        )
    }

    /// How far these blobs have come; those that no manifest names are missing.
    package func arrivals(of digests: [Digest], on db: some Queryable) async throws -> [Digest: BlobArrival] {
        let rows = try await db.query(
            """
            SELECT digest, generation IS NOT NULL, coalesce(size_bytes, partial_bytes, 0),
                coalesce(partial_bytes_per_s, 0)
            FROM blob WHERE digest = ANY(\(digests.map(\.description))::text[])
            """
        ).decode((String, Bool, Int64, Int64).self)
        return Dictionary(
            uniqueKeysWithValues: try rows.map { digest, isPresent, bytes, rate in
                let arrival = BlobArrival(isPresent: isPresent, storedBytes: bytes, bytesPerSecond: rate)
                return (try parsed(digest, "digest"), arrival)
            }
        )
    }

    /// Blobs of a manifest whose bytes aren't here, in the order of their digests. Foreign layers, whose bytes need not
    /// be in any registry, are left out.
    package func absent(from manifest: ManifestID, on db: some Queryable) async throws -> [DeclaredBlob] {
        try await db.query(
            """
            SELECT DISTINCT ON (mb.digest) mb.digest, mb.size_bytes
            FROM manifest_blob mb JOIN blob b ON b.digest = mb.digest
            WHERE mb.manifest_id = \(manifest.rawValue) AND b.generation IS NULL
                AND NOT \(unescaped: ImageStateStore.isForeign)
            ORDER BY mb.digest, mb.position
            """
        ).decode((String, Int64).self).map { digest, size in
            DeclaredBlob(digest: try parsed(digest, "digest"), sizeBytes: size, placement: nil)
        }
    }
}
