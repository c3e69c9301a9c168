// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import TestSupport
import Testing

/// One name for a request, in every line that comes of it.
@Suite("Request ids")
struct RequestIDTests {
    private static let image = ImageFixture.single(seed: 73, size: 100_000)

    private func header() throws -> HTTPField.Name { try #require(HTTPField.Name("X-Request-Id")) }

    @Test("a client's id is answered, and is in the lines of frontend and fetcher about what it asked for")
    func carried() async throws {
        let layer = try #require(Self.image.blobs.last)
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"]) { deployment in
                let asks = [
                    ("pull-1:a", "/v2/cache/app/manifests/1", "manifest fetched"),
                    ("pull-1:b", "/v2/cache/app/blobs/\(layer.digest)", "blob fetched"),
                ]
                for (id, path, said) in asks {
                    let answer = try await deployment.registry.get(path, [try header(): id])
                    #expect(answer.status == 200)
                    #expect(answer.headers[try header()] == id)
                    let line = try await deployment.fetchers[0].line(containing: said)
                    #expect(line.contains("request.id=\(id)"), "\(line)")
                    try await deployment.frontends[0].line(containing: "request.id=\(id)")
                }
                let lines = deployment.fetchers[0].lines
                #expect(lines.contains { $0.contains("started") && !$0.contains("request.id") })
            }
        }
    }

    @Test("a request without an id gets one, errors and the API's answers included, and no two are the same")
    func made() async throws {
        try await Deployment.with([], fetchers: 0) { deployment in
            var ids: Set<String> = []
            for path in ["/v2/", "/v2/none/app/manifests/1", "/nowhere", "/api/v1/discovery", "/api/v1/user/"] {
                let id = try #require(try await deployment.registry.get(path).headers[try header()], "\(path)")
                #expect(RequestID(id) != nil && id.count == 32)
                ids.insert(id)
            }
            #expect(ids.count == 5)
        }
    }

    @Test(
        "an id that could be more than a name is replaced",
        arguments: ["a b", "{\"x\":1}", String(repeating: "a", count: 129), "ümlaut", ""]
    )
    func refused(_ id: String) async throws {
        #expect(RequestID(id) == nil)
        #expect(RequestID("0f-A_9.z:+/=")?.rawValue == "0f-A_9.z:+/=")
    }

    @Test("a client's id that could be more than a name isn't answered with")
    func replaced() async throws {
        try await Deployment.with([], fetchers: 0) { deployment in
            for id in ["a b", "{\"x\":1}", String(repeating: "a", count: 129)] {
                let answer = try await deployment.registry.get("/v2/", [try header(): id])
                let own = try #require(answer.headers[try header()])
                #expect(own != id && own.count == 32)
            }
            let kept = try await deployment.registry.get("/v2/", [try header(): "0f-A_9.z:+/="])
            #expect(kept.headers[try header()] == "0f-A_9.z:+/=")
        }
    }
}
