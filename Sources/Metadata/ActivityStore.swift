// SPDX-License-Identifier: Apache-2.0

package import Models
import OCI
package import Postgres

/// What is going on at the moment, for people.
package struct ActivityStore: Sendable {
    package init() {}

    /// Blobs that are arriving, the oldest first; no more than `limit`.
    /// - Parameter organization: whose fetches; nil for all
    package func arriving(
        in organization: OrganizationID? = nil,
        limit: Int = 100,
        on db: some Queryable
    ) async throws -> [ArrivingBlob] {
        try await db.query(
            """
            SELECT b.digest, o.name, j.payload ->> 'repository', (j.payload ->> 'sizeBytes')::bigint,
                coalesce(b.partial_bytes, 0), coalesce(b.partial_bytes_per_s, 0),
                extract(epoch FROM now() - j.attempted_at)::float8
            FROM job j
            JOIN blob b ON b.digest = j.unique_key
            JOIN organization o ON o.id = j.organization_id
            WHERE j.state = 'running' AND j.kind = \(JobKind.blobFetch.rawValue)
                AND (\(organization?.rawValue)::bigint IS NULL OR o.id = \(organization?.rawValue))
            ORDER BY j.attempted_at, j.id LIMIT \(limit)
            """
        ).decode((String, String, String, Int64, Int64, Int64, Double).self).map { row in
            let (digest, organization, repository, size, bytes, rate, age) = row
            return ArrivingBlob(
                digest: try parsed(digest, "digest"),
                organization: try parsed(organization, "name"),
                repository: try parsed(repository, "payload"),
                sizeBytes: size,
                arrival: BlobArrival(isPresent: false, storedBytes: bytes, bytesPerSecond: rate),
                age: .seconds(max(0, age))
            )
        }
    }
}
