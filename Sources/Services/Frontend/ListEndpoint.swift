// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Models
import OCI
import PullThrough

/// Tags (distribution-spec end-8) and referrers (end-12).
struct ListEndpoint: Sendable {
    /// Tags of a page, whatever more is asked for. Many clients follow no link, so it is much.
    private static let maximumTags = 10_000
    /// Bytes of descriptors on a page: clients read an index of 4 MiB at the most.
    private static let maximumReferrerBytes = 2_097_152

    let pull: ListPull

    /// - Parameter request: what the link to the next page is made of
    func tags(
        of place: RequestedRepository,
        _ request: RegistryRequest,
        limit: Int?,
        after last: String?
    ) async throws -> Reply {
        struct Body: Encodable {
            let name: String
            let tags: [String]
        }
        let limit = min(limit ?? Self.maximumTags, Self.maximumTags)
        // One more than asked for tells whether there is a next page.
        let list = try await pull.tags(
            of: place.repository,
            organization: place.organization,
            after: last,
            limit: limit + 1
        )
        guard let list else { throw RegistryError(.nameUnknown, message: "there is no repository \(place) here") }
        let page = Array(list.elements.prefix(limit))
        var reply = try Self.json(Body(name: "\(place)", tags: page), contentType: "application/json")
        reply.headers[.warning] = Self.warning(list.standing)
        if list.elements.count > limit, let end = page.last {
            let next = RegistryRequest(.tagList(place.name, n: limit, last: end), namespace: request.namespace)
            reply.headers[.link] = LinkHeader.render(next: next.path)
        }
        return reply
    }

    /// - Parameters:
    ///   - request: what the link to the next page is made of
    ///   - last: where the page before ended
    func referrers(
        of subject: Digest,
        in place: RequestedRepository,
        _ request: RegistryRequest,
        artifactType: String?,
        after last: Digest?
    ) async throws -> Reply {
        struct Index: Encodable {
            let schemaVersion = 2
            let mediaType = MediaType.ociIndex.rawValue
            let manifests: [Descriptor]
        }
        let list = try await pull.referrers(of: subject, repository: place.repository, organization: place.organization)
        let wanted = list.elements.filter { artifactType == nil || $0.artifactType == artifactType }
        let (page, hasMore) = try Self.page(of: wanted, after: last)
        var reply = try Self.json(Index(manifests: page), contentType: MediaType.ociIndex.rawValue)
        reply.headers[.warning] = Self.warning(list.standing)
        if artifactType != nil { reply.headers[.ociFiltersApplied] = "artifactType" }
        if hasMore, let end = page.last?.digest {
            let next = RegistryRequest(
                .referrers(place.name, subject, artifactType: artifactType, last: end),
                namespace: request.namespace
            )
            reply.headers[.link] = LinkHeader.render(next: next.path)
        }
        return reply
    }

    /// As many descriptors as a page holds, one at least, and whether there are more. A page after one that is gone is
    /// empty: the client begins anew, or has what there was.
    static func page(
        of descriptors: [Descriptor],
        after last: Digest?,
        maximumBytes: Int = maximumReferrerBytes
    ) throws -> (page: [Descriptor], hasMore: Bool) {
        var rest = descriptors[...]
        if let last {
            let place = rest.firstIndex { $0.digest == last } ?? rest.endIndex
            rest = rest[place...].dropFirst()
        }
        var page: [Descriptor] = []
        var bytes = 0
        for descriptor in rest {
            bytes += try JSONEncoder().encode(descriptor).count
            if bytes > maximumBytes, !page.isEmpty { return (page, true) }
            page.append(descriptor)
        }
        return (page, false)
    }

    private static func warning(_ standing: PulledList<some Any>.Standing) -> String? {
        switch standing {
        case .confirmed: nil
        case .stale(let failure, let age): Warning.stale(failure, sinceCheck: age)
        case .cachedOnly(let failure): Warning.text("only what is cached is listed: \(failure.message)")
        }
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
