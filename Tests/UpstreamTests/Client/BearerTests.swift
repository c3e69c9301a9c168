// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import OCI
import TestSupport
import Testing
import Upstream

@Suite("Bearer tokens")
struct BearerTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])
    private static let blob = image.blobs[1]
    private static let whole = BlobStart(offset: 0, validator: nil)

    /// Runs `body` with an upstream that has an image and wants tokens for it.
    private func withTokens(
        _ bearer: ScriptedUpstream.Bearer = .init(),
        _ body: (ScriptedUpstream, UpstreamClient, UpstreamRepository) async throws -> Void
    ) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.requireBearer(bearer)
            try await body(upstream, client, repository)
        }
    }

    private func manifest(_ client: UpstreamClient, _ repository: UpstreamRepository) async throws -> [UInt8] {
        try await client.manifest(.tag("latest"), in: repository).bytes
    }

    @Test("one token serves every call, and the challenge is met once")
    func oneToken() async throws {
        try await withTokens { upstream, client, repository in
            for _ in 0..<3 {
                #expect(try await client.head(.tag("latest"), in: repository) == Self.image.digest)
                #expect(try await manifest(client, repository) == Self.image.bytes)
                let sink = CollectingSink()
                try await client.blob(Self.blob.digest, in: repository, from: Self.whole, into: sink)
                #expect(sink.bytes == Array("layer".utf8))
            }
            #expect(upstream.count("GET /token") == 1)
            #expect(upstream.count("/v2/") == 10)
        }
    }

    @Test("a token is asked for by service and scope, anonymously")
    func tokenRequest() async throws {
        try await withTokens { upstream, client, repository in
            _ = try await manifest(client, repository)
            let request = try #require(upstream.requests.first { $0.path.hasPrefix("/token") })
            #expect(request.path == "/token?service=scripted,%20upstream&scope=repository:org/app:pull")
            #expect(request.headers[.authorization] == nil)
        }
    }

    @Test("each repository, organization and generation has a token of its own")
    func separate() async throws {
        try await withTokens { upstream, client, repository in
            _ = try await manifest(client, repository)
            _ = try await manifest(client, .sample(upstream.url, organization: 2))
            _ = try await manifest(client, .sample(upstream.url, generation: 2))
            #expect(upstream.count("GET /token") == 3)
            _ = try await manifest(client, repository)
            #expect(upstream.count("GET /token") == 3)
        }
    }

    @Test("a token that isn't accepted any more is renewed, once for each call")
    func renewed() async throws {
        try await withTokens { upstream, client, repository in
            _ = try await manifest(client, repository)
            upstream.revokeTokens()
            upstream.forgetRequests()
            #expect(try await manifest(client, repository) == Self.image.bytes)
            #expect(
                upstream.requests.map { "\($0.method) \($0.path.prefix(6))" } == [
                    "GET /v2/or", "GET /token", "GET /v2/or",
                ]
            )
            let sent = upstream.requests.filter { $0.path.hasPrefix("/v2/") }.map { $0.headers[.authorization] }
            #expect(Set(sent).count == 2)
        }
    }

    @Test("an upstream that accepts no token is asked twice, not for ever")
    func neverAccepted() async throws {
        try await withTokens { upstream, client, repository in
            let challenge: HTTPFields = [.wwwAuthenticate: "Bearer realm=\"\(upstream.url)/token\""]
            upstream.fault("/v2/", .answer(401, challenge, []))
            let manifestFailure = try await failure { _ = try await manifest(client, repository) }
            #expect(manifestFailure.cause == .denied)
            #expect(upstream.count("/v2/") == 2)
            #expect(upstream.count("/token") == 1)
            #expect(try await client.head(.tag("latest"), in: repository) == nil)
            let sink = CollectingSink()
            let blobFailure = try await failure {
                try await client.blob(Self.blob.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(blobFailure.cause == .denied)
            #expect(sink.bytes.isEmpty)
        }
    }

    @Test("a challenge that can't be answered is a refusal", arguments: [nil, "Basic realm=\"x\"", "Negotiate", ""])
    func unanswerable(_ challenge: String?) async throws {
        try await withTokens { upstream, client, repository in
            var headers = HTTPFields()
            headers[.wwwAuthenticate] = challenge
            upstream.fault("/v2/", .answer(401, headers, []))
            let failure = try await failure { _ = try await manifest(client, repository) }
            #expect(failure.cause == .denied)
            #expect(failure.upstreamStatus == 401)
            #expect(upstream.requests.count == 1)
        }
    }

    @Test("the bearer challenge is found among others")
    func amongOthers() async throws {
        try await withTokens { upstream, client, repository in
            let challenge = "Basic realm=\"x\", Bearer realm=\"\(upstream.url)/token\",service=\"a\""
            upstream.fault("/v2/", .answer(401, [.wwwAuthenticate: challenge], []), times: 1)
            let bytes = try await manifest(client, repository)
            #expect(bytes == Self.image.bytes)
        }
    }

    @Test("a challenge is answered however large its page is")
    func largePage() async throws {
        try await withTokens { upstream, client, repository in
            let challenge: HTTPFields = [.wwwAuthenticate: "Bearer realm=\"\(upstream.url)/token\""]
            upstream.fault("/blobs/", .answer(401, challenge, [UInt8](repeating: 0x20, count: 5_000_000)), times: 1)
            let sink = CollectingSink()
            try await client.blob(Self.blob.digest, in: repository, from: Self.whole, into: sink)
            #expect(sink.bytes == Array("layer".utf8))
        }
    }

    // MARK: - The token server's answers

    @Test(
        "a token is read under either name",
        arguments: [
            "{\"token\":\"a.b_c-d\"}", "{\"access_token\":\"a.b_c-d\"}", "{\"token\":\"a.b_c-d\",\"expires_in\":300}",
        ]
    )
    func replies(_ reply: String) async throws {
        try await withTokens { upstream, client, repository in
            upstream.fault("/token", .answer(200, [:], Array(reply.utf8)))
            _ = try await failure { _ = try await manifest(client, repository) }
            let sent = upstream.requests.filter { $0.path.hasPrefix("/v2/") }.map { $0.headers[.authorization] }
            #expect(sent == [nil, "Bearer a.b_c-d"])
        }
    }

    @Test(
        "a token is used as long as it says, a minute if it says nothing",
        arguments: [
            ("", 1), (",\"expires_in\":300", 1), (",\"expires_in\":3.0e2", 1), (",\"expires_in\":1e300", 1),
            (",\"expires_in\":1", 3), (",\"expires_in\":0", 3), (",\"expires_in\":-1e300", 3),
        ]
    )
    func lifetime(_ extra: String, _ expectedRequests: Int) async throws {
        try await withTokens { upstream, client, repository in
            upstream.fault("/token", .answer(200, [:], Array("{\"token\":\"t\"\(extra)}".utf8)))
            let challenge: HTTPFields = [.wwwAuthenticate: "Bearer realm=\"\(upstream.url)/token\""]
            upstream.fault("/v2/", .answer(401, challenge, []), times: 1)
            upstream.fault("/v2/", .answer(200, [:], []))
            for _ in 0..<3 { _ = try await manifest(client, repository) }
            #expect(upstream.count("/token") == expectedRequests)
        }
    }

    @Test(
        "an answer without a token that a header can carry is upstream's failure",
        arguments: [
            "", "token", "[]", "{}", "{\"token\":null}", "{\"token\":\"\"}", "{\"token\":1}", "{\"token\":\"a b\"}",
            "{\"token\":\"a\\r\\nX-Injected: 1\"}", "{\"token\":\"\\u00e9\"}",
            "{\"token\":\"t\",\"expires_in\":\"soon\"}",
            "{\"token\":\"\(String(repeating: "t", count: 70_000))\"}",
        ]
    )
    func badReplies(_ reply: String) async throws {
        try await withTokens { upstream, client, repository in
            upstream.fault("/token", .answer(200, [:], Array(reply.utf8)))
            let failure = try await failure { _ = try await manifest(client, repository) }
            #expect(failure.cause == .upstreamError)
            #expect(upstream.count("/v2/") == 1)
        }
    }

    @Test("an answer without end isn't read to its end")
    func endlessReply() async throws {
        try await withTokens { upstream, client, repository in
            upstream.fault("/token", .answer(200, [:], [UInt8](repeating: 0x20, count: 1_000_000)))
            let failure = try await failure { _ = try await manifest(client, repository) }
            #expect(failure.cause == .badContent)
        }
    }

    @Test(
        "a token server that refuses says nothing about the image",
        arguments: [
            (401, .denied), (403, .denied), (404, .upstreamError), (410, .upstreamError), (429, .rateLimited),
            (500, .upstreamError), (503, .upstreamError), (302, .upstreamError),
        ] as [(Int, FetchFailure.Cause)]
    )
    func refusedToken(_ status: Int, _ cause: FetchFailure.Cause) async throws {
        try await withTokens { upstream, client, repository in
            upstream.fault("/token", .answer(status, [.retryAfter: "9", .location: "/elsewhere"], []))
            let failure = try await failure { _ = try await manifest(client, repository) }
            #expect(failure.cause == cause)
            #expect(failure.upstreamStatus == status)
            #expect(failure.retryAfterSeconds == 9)
            #expect(upstream.requests.count == 2)
        }
    }
}
