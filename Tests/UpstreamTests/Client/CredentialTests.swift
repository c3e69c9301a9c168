// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import OCI
import TestSupport
import Testing
import Upstream

@Suite("Where credentials go")
struct CredentialTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])
    private static let blob = image.blobs[1]
    private static let whole = BlobStart(offset: 0, validator: nil)

    /// Runs `body` with an upstream that wants tokens, and another registry that has the same image.
    private func withTwo(
        _ body: (ScriptedUpstream, ScriptedUpstream, UpstreamClient, UpstreamRepository) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { other in
            other.add(Self.image, to: "org/app", tag: "latest")
            try await withUpstream { upstream, client, repository in
                upstream.add(Self.image, to: "org/app", tag: "latest")
                upstream.requireBearer()
                try await body(upstream, other, client, repository)
            }
        }
    }

    @Test("no token follows a redirect to another port")
    func otherPort() async throws {
        try await withTwo { upstream, other, client, repository in
            _ = try await client.manifest(.tag("latest"), in: repository)
            upstream.fault("/manifests/", .redirect(other.url + "/v2/org/app/manifests/latest", status: 307))
            upstream.fault("/blobs/", .redirect(other.url + "/v2/org/app/blobs/\(Self.blob.digest)", status: 307))
            #expect(try await client.head(.tag("latest"), in: repository) == Self.image.digest)
            #expect(try await client.manifest(.tag("latest"), in: repository).bytes == Self.image.bytes)
            let sink = CollectingSink()
            try await client.blob(Self.blob.digest, in: repository, from: Self.whole, into: sink)
            #expect(sink.bytes == Array("layer".utf8))
            #expect(other.requests.count == 3)
            #expect(other.requests.allSatisfy { $0.headers[.authorization] == nil })
            #expect(upstream.requests.suffix(3).allSatisfy { $0.headers[.authorization] != nil })
        }
    }

    @Test("no token follows a redirect to another name of the same server")
    func otherName() async throws {
        try await withTwo { upstream, _, client, repository in
            _ = try await client.manifest(.tag("latest"), in: repository)
            upstream.forgetRequests()
            let url = "http://localhost:\(upstream.port)/v2/org/app/manifests/latest?elsewhere"
            upstream.fault("manifests/latest", .redirect(url, status: 307), times: 1)
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .denied)
            #expect(upstream.requests.map { $0.headers[.authorization] != nil } == [true, false])
            #expect(upstream.count("/token") == 0)
        }
    }

    @Test("a token stays on the way through the same origin")
    func sameOrigin() async throws {
        try await withTwo { upstream, _, client, repository in
            _ = try await client.manifest(.tag("latest"), in: repository)
            upstream.fault("manifests/latest", .redirect("/v2/org/app/manifests/latest?again", status: 307), times: 1)
            #expect(try await client.manifest(.tag("latest"), in: repository).bytes == Self.image.bytes)
            #expect(upstream.count("/token") == 1)
        }
    }

    @Test("a token that was dropped on the way isn't taken up again")
    func thereAndBack() async throws {
        try await withTwo { upstream, other, client, repository in
            _ = try await client.manifest(.tag("latest"), in: repository)
            upstream.forgetRequests()
            upstream.fault("manifests/latest", .redirect(other.url + "/", status: 307), times: 1)
            other.fault("GET /", .redirect(upstream.url + "/v2/org/app/manifests/latest?chosen-by-other", status: 307))
            // Back at the registry the challenge is answered, for what we wanted and not for what the other chose.
            #expect(try await client.manifest(.tag("latest"), in: repository).bytes == Self.image.bytes)
            #expect(
                upstream.requests.allSatisfy {
                    $0.headers[.authorization] == nil || !$0.path.contains("chosen-by-other")
                }
            )
            #expect(other.requests.allSatisfy { $0.headers[.authorization] == nil })
        }
    }

    @Test("a challenge of a host that we were redirected to isn't answered")
    func foreignChallenge() async throws {
        try await withTwo { upstream, other, client, repository in
            other.requireBearer()
            upstream.fault("/manifests/", .redirect(other.url + "/v2/org/app/manifests/latest", status: 307))
            upstream.fault("/blobs/", .redirect(other.url + "/v2/org/app/blobs/\(Self.blob.digest)", status: 307))
            let manifest = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(manifest.cause == .denied)
            let sink = CollectingSink()
            let blob = try await failure {
                try await client.blob(Self.blob.digest, in: repository, from: Self.whole, into: sink)
            }
            #expect(blob.cause == .denied)
            #expect(sink.bytes.isEmpty)
            #expect(other.requests.count == 2)
            #expect(other.requests.allSatisfy { $0.headers[.authorization] == nil })
            #expect(upstream.count("/token") == 0)
        }
    }

    @Test("a token server that isn't the registry's is never asked")
    func foreignRealm() async throws {
        try await withTwo { upstream, other, client, repository in
            for realm in [other.url + "/token", "http://localhost:\(upstream.port)/token"] {
                upstream.requireBearer(.init(realm: realm))
                let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
                #expect(failure.cause == .refusedAddress)
            }
            #expect(other.requests.isEmpty)
            #expect(upstream.count("/token") == 0)
        }
    }
}
