// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import TestSupport
import Testing

/// Conditions of requests, and ranges of those that have none.
@Suite struct ConditionTests {
    private static let image = ImageFixture.image(layers: [.text("0123456789")])

    private static func with(
        _ body: (Deployment, _ manifest: String, _ blob: String) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/manifests/t").status == 200)
                let blob = image.blobs[1].digest
                try await body(deployment, "/v2/up/a/manifests/t", "/v2/up/a/blobs/\(blob)")
            }
        }
    }

    @Test("If-Match holds for the content that is here only, and comes before If-None-Match and Range")
    func ifMatch() async throws {
        try await Self.with { deployment, manifest, blob in
            let registry = deployment.registry
            for path in [blob, manifest, blob] {
                let all: HTTPFields = [.ifMatch: "\"other\"", .ifNoneMatch: "*", .range: "bytes=0-1"]
                let other = try await registry.get(path, all)
                #expect(other.status == 412 && other.errorCode == "UNSUPPORTED", "\(path): \(other.text)")
                #expect(other.headers[.contentType] == "application/json")
                let head = try await registry.head(path, [.ifMatch: "\"other\""])
                #expect(head.status == 412 && head.body.isEmpty)
                let tag = try #require(try await registry.get(path).headers[.eTag])
                for value in [tag, "*", "\"other\", \(tag)"] {
                    let same = try await registry.get(path, [.ifMatch: value])
                    #expect(same.status == 200 && !same.body.isEmpty, "\(path) \(value)")
                    #expect(try await registry.get(path, [.ifMatch: value, .ifNoneMatch: tag]).status == 304)
                }
                #expect(try await registry.get(path, [.ifMatch: "W/\(tag)"]).status == 412, "\(path)")
            }
            #expect(try await registry.get(blob, [.ifMatch: "*", .range: "bytes=2-4"]).text == "234")
        }
    }

    @Test("HEAD has no ranges: it tells of the whole blob, cold and warm")
    func head() async throws {
        try await Self.with { deployment, _, blob in
            for state in ["cold", "warm"] {
                for range in ["bytes=0-1", "bytes=0-1,4-5", "bytes=100-", "bytes=5-2"] {
                    let got = try await deployment.registry.head(blob, [.range: range])
                    #expect(got.status == 200 && got.headers[.contentLength] == "10", "\(state) \(range)")
                    #expect(got.headers[.contentRange] == nil && got.headers[.acceptRanges] == "bytes")
                }
                #expect(try await deployment.registry.get(blob).text == "0123456789")
            }
        }
    }
}
