// SPDX-License-Identifier: Apache-2.0

import Foundation
package import HTTPTypes
import OCI

/// What a scripted upstream lists, and in which pages.
package struct UpstreamLists: Sendable {
    /// Elements of a page, whatever is asked for.
    package var pageSize = 1_000
    /// What links to the next page begin with: registries behind proxies name hosts that nobody else knows.
    package var linkPrefix = ""
    package var hasReferrersAPI = true
    /// In no particular order.
    package var tags: [String: [String]] = [:]
    /// JSON of descriptors by `REPOSITORY@SUBJECT`.
    package var referrers: [String: [String]] = [:]

    func tags(of repository: String, _ query: URLComponents) -> UpstreamAnswer {
        guard let tags = tags[repository] else { return .error(404, "NAME_UNKNOWN") }
        let asked = query.number("n") ?? pageSize
        let (page, next) = page(of: tags, query, size: min(asked, pageSize))
        let names = page.map { "\"\($0)\"" }.joined(separator: ",")
        var answer = UpstreamAnswer(status: 200, body: Array("{\"name\":\"\(repository)\",\"tags\":[\(names)]}".utf8))
        answer.headers[.contentType] = "application/json"
        answer.headers[.link] = next.map { "<\(linkPrefix)/v2/\(repository)/tags/list?\($0)>; rel=\"next\"" }
        return answer
    }

    func referrers(of subject: OCI.Digest, in repository: String, _ query: URLComponents) -> UpstreamAnswer {
        guard hasReferrersAPI else { return .error(404, "UNSUPPORTED") }
        let (page, next) = page(of: referrers["\(repository)@\(subject)"] ?? [], query, size: pageSize)
        let type = ImageFixture.ociIndex
        let text = "{\"schemaVersion\":2,\"mediaType\":\"\(type)\",\"manifests\":[\(page.joined(separator: ","))]}"
        var answer = UpstreamAnswer(status: 200, body: Array(text.utf8))
        answer.headers[.contentType] = type
        answer.headers[.link] = next.map { "<\(linkPrefix)/v2/\(repository)/referrers/\(subject)?\($0)>; rel=\"next\"" }
        return answer
    }

    private func page(of all: [String], _ query: URLComponents, size: Int) -> (page: ArraySlice<String>, next: String?)
    {
        let start = query.number("skip") ?? 0
        let end = min(all.count, start + size)
        return (all[start..<end], end < all.count ? "n=\(size)&skip=\(end)" : nil)
    }
}

extension URLComponents {
    fileprivate func number(_ name: String) -> Int? {
        queryItems?.first { $0.name == name }?.value.flatMap { Int($0) }
    }
}

extension HTTPField.Name {
    package static let link = named("Link")
    package static let ociFiltersApplied = named("OCI-Filters-Applied")

    private static func named(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is no field name") }
        return name
    }
}
