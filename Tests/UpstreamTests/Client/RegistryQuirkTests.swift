// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Models
import OCI
import TestSupport
import Testing
import Upstream

/// Registries as they really are: each one's way to want credentials and to give tokens.
@Suite("Quirks of registries")
struct RegistryQuirkTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])
    private static let basic = "Basic " + Data("robot:s3cret".utf8).base64EncodedString()

    struct Quirk: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var username: String? = "robot"
        /// Requests to the token server that a first pull costs, as `METHOD`s.
        var exchanges = ["GET"]
        let change: @Sendable (inout ScriptedUpstream.Bearer) -> Void

        var credentials: UpstreamCredentials? {
            get throws { try username.map { try UpstreamCredentials(username: $0, password: "s3cret") } }
        }
    }

    private static let quirks: [Quirk] = [
        Quirk(testDescription: "Docker Hub: a token even for anonymous clients", username: nil) {
            $0.challenges = [#"Bearer realm="{realm}",service="registry.docker.io",scope="repository:org/app:pull""#]
            $0.reply =
                #"{"token":"{token}","access_token":"{token}","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}"#
        },
        Quirk(testDescription: "quay.io: a token and nothing else; POST isn't known") {
            $0.basic = basic
            $0.postStatus = 405
        },
        Quirk(testDescription: "Artifact Registry: neither scope nor service in the challenge") {
            $0.challenges = [#"Bearer realm="{realm}""#]
            $0.basic = basic
            $0.postStatus = 404
        },
        Quirk(testDescription: "ACR: access_token only, POST with a password is a 400") {
            $0.reply = #"{"access_token":"{token}"}"#
            $0.basic = basic
            $0.postStatus = 400
        },
        Quirk(
            testDescription: "ACR: an identity token is exchanged by POST",
            username: "00000000-0000-0000-0000-000000000000",
            exchanges: ["POST"]
        ) {
            $0.getStatus = 404
            $0.postStatus = nil
            $0.form = [
                "grant_type=refresh_token", "refresh_token=s3cret", "scope=repository:org/app:pull", "client_id=",
            ]
            $0.reply = #"{"access_token":"{token}","expires_in":3600}"#
        },
        Quirk(testDescription: "a server that knows POST only", exchanges: ["GET", "POST"]) {
            $0.getStatus = 405
            $0.postStatus = nil
            $0.form = ["grant_type=password", "username=robot", "password=s3cret"]
        },
        Quirk(testDescription: "Artifactory: HEAD is challenged without scope, GET with it") {
            $0.headChallenges = [#"Bearer realm="{realm}",service="art""#]
            $0.challenges = [#"Bearer realm="{realm}",service="art",scope="repository:org/app:pull""#]
            $0.basic = basic
        },
        Quirk(testDescription: "ghcr.io: challenged although the image is public", username: nil) {
            $0.challenges = [#"Bearer realm="{realm}",service="ghcr.io",scope="repository:user/image:pull""#]
        },
        Quirk(testDescription: "ECR: Basic, without any token server", exchanges: []) {
            $0.challenges = [
                #"Basic realm="https://1234.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#
            ]
            $0.registryBasic = basic
        },
        Quirk(testDescription: "several challenges on one line, unknown schemes first, odd case") {
            $0.challenges = [#"Negotiate, bEARER Realm="{realm}" , SERVICE="a, b", Basic realm="x""#]
            $0.basic = basic
        },
        Quirk(testDescription: "several challenges on several lines") {
            $0.challenges = [#"Basic realm="x""#, #"Bearer realm="{realm}",scope="repository:a:pull,push""#]
            $0.basic = basic
        },
    ]

    @Test("each registry's way", arguments: quirks)
    func quirk(_ quirk: Quirk) async throws {
        try await withUpstream(credentials: try quirk.credentials) { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            var bearer = ScriptedUpstream.Bearer()
            quirk.change(&bearer)
            upstream.requireBearer(bearer)
            for _ in 0..<3 {
                let manifest = try await client.manifest(.tag("latest"), in: repository)
                #expect(manifest.bytes == Self.image.bytes)
            }
            let head = try await client.head(.tag("latest"), in: repository)
            #expect(head == Self.image.digest)
            let exchanges = upstream.requests.filter { $0.path.hasPrefix("/token") }
            #expect(exchanges.map(\.method) == quirk.exchanges)
            for exchange in exchanges where exchange.method == "GET" {
                #expect(exchange.path.contains("scope=repository:org/app:pull"))
                #expect(exchange.path.contains("service="))
            }
        }
    }

    @Test("fifty calls at once cost one token")
    func singleFlight() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.requireBearer()
            // Whoever begins after the first challenge asks for a token at once, so no challenge goes out before all have come.
            let challenges = Gate()
            upstream.fault("manifests", .hold(challenges))
            try await withThrowingTaskGroup(of: [UInt8].self) { group in
                for _ in 0..<50 {
                    group.addTask { try await client.manifest(.tag("latest"), in: repository).bytes }
                }
                try await eventually("every call has come") { challenges.arrivals == 50 }
                challenges.open()
                for try await bytes in group { #expect(bytes == Self.image.bytes) }
            }
            #expect(upstream.count("/token") == 1)
        }
    }

    @Test("an expired token is renewed once, whether it is refused with 401 or 400", arguments: [401, 400])
    func expired(_ status: Int) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            var bearer = ScriptedUpstream.Bearer()
            bearer.expiredStatus = status
            upstream.requireBearer(bearer)
            _ = try await client.manifest(.tag("latest"), in: repository)
            upstream.revokeTokens()
            #expect(try await client.manifest(.tag("latest"), in: repository).bytes == Self.image.bytes)
            #expect(upstream.count("/token") == 2)
        }
    }

    @Test(
        "a refresh token is used for the next scope, and forgotten when it isn't good any more",
        arguments: [401, 403]
    )
    func refreshToken(_ status: Int) async throws {
        let credentials = try UpstreamCredentials(username: "robot", password: "s3cret")
        try await withUpstream(credentials: credentials) { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.add(Self.image, to: "org/other", tag: "latest")
            var bearer = ScriptedUpstream.Bearer()
            bearer.basic = Self.basic
            bearer.postStatus = nil
            bearer.form = ["grant_type=refresh_token", "refresh_token=again"]
            bearer.reply = #"{"token":"{token}","refresh_token":"again"}"#
            upstream.requireBearer(bearer)
            _ = try await client.manifest(.tag("latest"), in: repository)
            let other = UpstreamRepository(
                address: repository.address,
                name: try RepositoryName("org/other"),
                organization: repository.organization,
                generation: repository.generation
            )
            #expect(try await client.manifest(.tag("latest"), in: other).bytes == Self.image.bytes)
            let methods = { upstream.requests.filter { $0.path.hasPrefix("/token") }.map(\.method) }
            #expect(methods() == ["GET", "POST"])
            upstream.revokeTokens()
            bearer.form = ["another"]
            bearer.formStatus = status
            upstream.requireBearer(bearer)
            #expect(try await client.manifest(.tag("latest"), in: other).bytes == Self.image.bytes)
            #expect(methods() == ["GET", "POST", "POST", "GET"])
        }
    }

    @Test(
        "wrong credentials, or none where some are needed, are a refusal that doesn't show them",
        arguments: [401, 403]
    )
    func wrong(_ status: Int) async throws {
        let credentials = try UpstreamCredentials(username: "robot", password: "canary")
        try await withUpstream(credentials: credentials) { upstream, client, repository in
            var bearer = ScriptedUpstream.Bearer()
            bearer.basic = Self.basic
            bearer.anonymousStatus = status
            upstream.requireBearer(bearer)
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .denied)
            #expect(!failure.message.contains("canary") && !failure.message.contains("robot"))
        }
    }

    @Test("credentials never go to a realm that isn't trusted, nor to any other origin")
    func foreignRealm() async throws {
        let credentials = try UpstreamCredentials(username: "robot", password: "canary")
        try await ScriptedUpstream.with { thief in
            try await withUpstream(credentials: credentials) { upstream, client, repository in
                upstream.requireBearer(ScriptedUpstream.Bearer(realm: "\(thief.url)/token"))
                let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
                #expect(failure.cause == .refusedAddress)
                #expect(thief.requests.isEmpty)
                #expect(upstream.requests.allSatisfy { $0.headers[.authorization] == nil })
            }
        }
    }
}
