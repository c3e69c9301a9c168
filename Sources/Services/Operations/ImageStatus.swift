// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
package import Postgres

/// How much of an image is in the cache, as operators see it.
package struct ImageStatus: Sendable, Hashable, Encodable {
    package let image: String
    /// Nil when it isn't cached.
    package let digest: String?
    /// `complete`, `fetching n/m` in blobs, or `not cached`.
    package let state: String
    package let presentBytes: Int64
    package let totalBytes: Int64

    package var isCached: Bool { digest != nil }

    /// Looks them up, in their order. Throws ``PostgresError``.
    package static func find(_ targets: [WarmTarget], on client: PostgresClient) async throws -> [ImageStatus] {
        var found: [ImageStatus] = []
        for target in targets { found.append(try await find(target, on: client)) }
        return found
    }

    private static func find(_ target: WarmTarget, on client: PostgresClient) async throws -> ImageStatus {
        guard let organization = try await OrganizationStore().find(target.organization, on: client) else {
            return ImageStatus(target)
        }
        let upstream = organization.proxyCache?.upstream
        let repository = upstream?.canonical(target.repository) ?? target.repository
        let digest: Digest? =
            switch target.reference {
            case .digest(let digest): digest
            case .tag(let tag):
                try await TagStore().find(tag, repository: repository, organization: organization.id, on: client)?
                    .digest
            }
        guard let digest,
            let state = try await ImageStateStore().state(
                of: digest,
                repository: repository,
                organization: organization.id,
                on: client
            )
        else { return ImageStatus(target) }
        return ImageStatus(
            image: target.description,
            digest: digest.description,
            state: state.description,
            presentBytes: state.presentBytes,
            totalBytes: state.totalBytes
        )
    }

    private init(_ target: WarmTarget) {
        self.init(image: target.description, digest: nil, state: "not cached", presentBytes: 0, totalBytes: 0)
    }

    private init(image: String, digest: String?, state: String, presentBytes: Int64, totalBytes: Int64) {
        self.image = image
        self.digest = digest
        self.state = state
        self.presentBytes = presentBytes
        self.totalBytes = totalBytes
    }
}
