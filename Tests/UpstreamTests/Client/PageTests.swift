// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import OCI
import TestSupport
import Testing
import Upstream

@Suite("Pages of a list from upstream")
struct PageTests {
    private func page(_ tags: [String], next: String?) -> Fault.Action {
        let names = tags.map { "\"\($0)\"" }.joined(separator: ",")
        let link = next.map { "</v2/org/app/tags/list?last=\($0)>; rel=\"next\"" }
        return .answer(200, link.map { [.link: $0] } ?? [:], Array("{\"tags\":[\(names)]}".utf8))
    }

    @Test("a page without a tag, or with known ones only, doesn't end the list while there is a next one")
    func empty() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.fault("last=one", page([], next: "two"))
            upstream.fault("last=two", page(["a"], next: "three"))
            upstream.fault("last=three", page(["b"], next: nil))
            upstream.fault("tags/list", page(["a"], next: "one"))
            let tags = try await client.tags(in: repository)
            #expect(tags.map(\.rawValue) == ["a", "b"])
            #expect(upstream.count("tags/list") == 4)
        }
    }

    @Test("links in a circle end the list")
    func circle() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.fault("last=one", page(["b"], next: "two"))
            upstream.fault("last=two", page(["c"], next: "one"))
            upstream.fault("tags/list", page(["a"], next: "one"))
            let tags = try await client.tags(in: repository)
            #expect(tags.map(\.rawValue) == ["a", "b", "c"])
            #expect(upstream.count("tags/list") == 3)
        }
    }
}
