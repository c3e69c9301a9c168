// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Metadata
import Models
import OCI
import Postgres

/// Tags (distribution-spec end-8) and referrers (end-12) as far as they are cached.
struct ListEndpoint: Sendable {
    private static let maximumTags = 1_000

    let client: PostgresClient
    private let lists = ListStore()

    init(client: PostgresClient) { self.client = client }

    func tags(of place: RequestedRepository, limit: Int?, after last: String?) async throws -> Reply {
        struct Body: Encodable {
            let name: String
            let tags: [String]
        }
        let limit = min(limit ?? Self.maximumTags, Self.maximumTags)
        // One more than asked for tells whether there is a next page.
        let found = try await lists.tags(
            of: place.repository,
            organization: place.organization.id,
            after: last,
            limit: limit + 1,
            on: client
        )
        guard let found else {
            throw RegistryError(.nameUnknown, message: "nothing of \(place) is cached")
        }
        let page = Array(found.prefix(limit))
        let name = "\(place)"
        var reply = try Self.json(Body(name: name, tags: page), contentType: "application/json")
        reply.headers[.warning] = Warning.text("only tags that are cached are listed")
        if found.count > limit, let end = page.last {
            reply.headers[.link] = "</v2/\(name)/tags/list?n=\(limit)&last=\(end)>; rel=\"next\""
        }
        return reply
    }

    func referrers(
        of subject: Digest,
        in place: RequestedRepository,
        artifactType: String?
    ) async throws -> Reply {
        let manifests = try await lists.referrers(
            of: subject,
            repository: place.repository,
            organization: place.organization.id,
            on: client
        )
        var descriptors: [Descriptor] = []
        for manifest in manifests {
            // What is stored was parsed before: a failure here is a corrupt row, and the cache's fault.
            let document = try ManifestDocument(bytes: manifest.bytes, contentType: manifest.mediaType)
            let type = document.artifactType ?? document.config?.mediaType.rawValue
            guard artifactType == nil || artifactType == type else { continue }
            descriptors.append(
                Descriptor(
                    mediaType: manifest.mediaType,
                    digest: manifest.digest,
                    size: Int64(manifest.bytes.count),
                    artifactType: type,
                    annotations: document.annotations
                )
            )
        }
        struct Index: Encodable {
            let schemaVersion = 2
            let mediaType = MediaType.ociIndex.rawValue
            let manifests: [Descriptor]
        }
        var reply = try Self.json(Index(manifests: descriptors), contentType: MediaType.ociIndex.rawValue)
        if artifactType != nil { reply.headers[.ociFiltersApplied] = "artifactType" }
        return reply
    }

    private static func json(_ value: some Encodable, contentType: String) throws -> Reply {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(value))
        return Reply(
            status: 200,
            headers: [.contentType: contentType],
            body: .bytes(bytes),
            contentLength: Int64(bytes.count)
        )
    }
}
