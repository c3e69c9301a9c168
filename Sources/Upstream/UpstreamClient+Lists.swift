// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Models
package import OCI

/// Lists, brought whole: all pages, or a failure.
extension UpstreamClient {
    /// What is asked of one page. Upstreams give fewer as they like.
    private static let pageSize = 1_000
    private static let maximumPageBytes = 4_194_304
    private static let maximumPages = 1_000
    private static let maximumTags = 500_000
    private static let maximumReferrers = 20_000

    /// All tags of a repository, each once, in the order of their bytes.
    /// - Throws: ``FetchFailure``
    package func tags(in repository: UpstreamRepository) async throws -> [TagName] {
        struct Page: Decodable { let tags: [String]? }
        var names: Set<TagName> = []
        let what = "\(RepositoryList.tags)"
        try await pages(of: repository.tagsURL, query: "n=\(Self.pageSize)", in: repository, for: what) { _, bytes in
            let page: Page
            do { page = try JSONDecoder().decode(Page.self, from: Data(bytes)) } catch {
                throw FetchFailure(.badContent, "upstream \(repository) sent no \(what)")
            }
            // What is no tag's name can't be pulled either.
            names.formUnion((page.tags ?? []).compactMap(TagName.init(rawValue:)))
            guard names.count <= Self.maximumTags else {
                throw FetchFailure(.badContent, "upstream \(repository) lists more than \(Self.maximumTags) tags")
            }
        }
        return names.sorted { $0.rawValue.utf8.lexicographicallyPrecedes($1.rawValue.utf8) }
    }

    /// Descriptors of everything that is attached to a manifest, from the referrers API, or from the referrers tag where
    /// the registry hasn't that API (distribution-spec "Listing Referrers", "Unavailable Referrers API").
    /// - Throws: ``FetchFailure``; nothing attached is an empty list
    package func referrers(of subject: Digest, in repository: UpstreamRepository) async throws -> [Descriptor] {
        var descriptors: [Descriptor] = []
        var digests: Set<Digest> = []
        let what = "\(RepositoryList.referrers(subject))"
        let url = repository.referrersURL(subject)
        do {
            try await pages(of: url, query: nil, in: repository, for: what) { contentType, bytes in
                guard contentType == .ociIndex else { throw NoReferrers() }
                let page: ManifestDocument
                do throws(OCIError) {
                    page = try ManifestDocument(bytes: bytes, contentType: contentType)
                } catch {
                    throw FetchFailure(.badContent, "upstream \(repository) sent for \(what): \(error.message)")
                }
                let new = page.manifests.filter { digests.insert($0.digest).inserted }
                descriptors += new
                guard descriptors.count <= Self.maximumReferrers else {
                    let limit = Self.maximumReferrers
                    throw FetchFailure(.badContent, "upstream \(repository) lists more than \(limit) \(what)")
                }
            }
            return descriptors
        } catch is NoReferrers {
            return try await taggedReferrers(of: subject, in: repository)
        } catch let failure as FetchFailure where Self.saysUnsupported(failure) {
            return try await taggedReferrers(of: subject, in: repository)
        }
    }

    /// The registry answered with something else than referrers: it doesn't know the API.
    private struct NoReferrers: Error {}

    private static func saysUnsupported(_ failure: FetchFailure) -> Bool {
        [400, 404, 405, 406, 410, 501].contains(failure.upstreamStatus)
    }

    private func taggedReferrers(of subject: Digest, in repository: UpstreamRepository) async throws -> [Descriptor] {
        let tag = Reference.tag(SignatureTag.referrers(of: subject))
        let index: UpstreamManifest
        do { index = try await manifest(tag, in: repository) } catch let failure as FetchFailure
            where failure.cause == .notFound
        { return [] }
        do {
            return try ManifestDocument(bytes: index.bytes, contentType: index.contentType).manifests
        } catch {
            throw FetchFailure(.badContent, "upstream \(repository) sent for \(tag): \(error.message)")
        }
    }

    /// Reads page after page. Of a link to the next one only the query is followed: the address is ours, whatever name
    /// or scheme the registry believes to have behind its proxy, and none of it leads elsewhere.
    /// - Parameter take: given a page's type and bytes
    private func pages(
        of url: String,
        query: String?,
        in repository: UpstreamRepository,
        for what: String,
        take: (MediaType?, [UInt8]) throws -> Void
    ) async throws {
        var query = query
        var asked: Set<String> = []
        for _ in 0..<Self.maximumPages {
            let address = query.map { "\(url)?\($0)" } ?? url
            let (head, bytes) = try await document(address, in: repository, for: what, upTo: Self.maximumPageBytes)
            try take(head.headers[.contentType].flatMap(MediaType.init(rawValue:)), bytes)
            guard let next = head.headers[values: .link].lazy.compactMap(LinkHeader.nextTarget).first else { return }
            guard let mark = next.firstIndex(of: "?") else { return }
            let link = String(next[next.index(after: mark)...].prefix { $0 != "#" })
            // A link in a circle ends the list, it doesn't hold us. A page may well be empty: what was on it is gone.
            guard asked.insert(link).inserted else { return }
            query = link
        }
        throw FetchFailure(.badContent, "upstream \(repository) gives more than \(Self.maximumPages) pages for \(what)")
    }
}
