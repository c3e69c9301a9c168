// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import OCI
import TestSupport
import Testing
import Upstream

@Suite("Manifests from upstream")
struct ManifestTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])

    // MARK: - HEAD

    @Test("HEAD tells the digest that a tag points to, without the manifest")
    func head() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            let digest = try await client.head(.tag("latest"), in: repository)
            #expect(digest == Self.image.digest)
            #expect(upstream.requests.map { "\($0.method) \($0.path)" } == ["HEAD /v2/org/app/manifests/latest"])
        }
    }

    @Test("HEAD that is refused, or finds nothing, says nothing", arguments: [400, 401, 403, 404, 405, 406, 501])
    func headRefused(_ status: Int) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.fault("HEAD ", .answer(status, [:], []))
            let digest = try await client.head(.tag("latest"), in: repository)
            #expect(digest == nil)
        }
    }

    @Test("HEAD without a digest that can be read says nothing", arguments: [nil, "", "latest", "md5:00", "sha256:0"])
    func headWithoutDigest(_ digest: String?) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.fault(
                "HEAD ",
                digest.map { .setHeader(.dockerContentDigest, $0) } ?? .removeHeader(.dockerContentDigest)
            )
            let digest = try await client.head(.tag("latest"), in: repository)
            #expect(digest == nil)
        }
    }

    @Test(
        "what HEAD meets and GET would meet too is a failure",
        arguments: [(429, .rateLimited), (500, .upstreamError), (503, .upstreamError)] as [(Int, FetchFailure.Cause)]
    )
    func headFails(_ status: Int, _ cause: FetchFailure.Cause) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.fault("HEAD ", .answer(status, [.retryAfter: "9"], []))
            let failure = try await failure { _ = try await client.head(.tag("latest"), in: repository) }
            #expect(failure.cause == cause)
            #expect(failure.upstreamStatus == status)
            #expect(failure.retryAfterSeconds == 9)
        }
    }

    // MARK: - GET

    @Test("a manifest comes as upstream sent it, with what upstream says about it")
    func manifest() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            for reference in [try Reference.tag("latest"), .digest(Self.image.digest)] {
                let manifest = try await client.manifest(reference, in: repository)
                #expect(manifest.bytes == Self.image.bytes)
                #expect(manifest.contentType == MediaType(rawValue: Self.image.mediaType))
                #expect(manifest.claimedDigest == Self.image.digest)
            }
            #expect(
                upstream.requests.map { "\($0.method) \($0.path)" }
                    == ["latest", Self.image.digest.description].map { "GET /v2/org/app/manifests/\($0)" }
            )
        }
    }

    @Test("every kind of manifest is asked for, uncompressed")
    func accept() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            _ = try await client.head(.tag("latest"), in: repository)
            _ = try await client.manifest(.tag("latest"), in: repository)
            for request in upstream.requests {
                let accept = try #require(request.headers[.accept])
                for type in [ImageFixture.ociManifest, ImageFixture.ociIndex, ImageFixture.dockerManifest] {
                    #expect(accept.contains(type))
                }
                #expect(request.headers[.acceptEncoding] == "identity")
                #expect(request.headers[.authorization] == nil)
            }
        }
    }

    @Test("what upstream doesn't say about a manifest isn't made up")
    func silent() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.fault("GET ", .answer(200, [:], Array("anything".utf8)))
            let manifest = try await client.manifest(.tag("latest"), in: repository)
            #expect(manifest.bytes == Array("anything".utf8))
            #expect(manifest.contentType == nil)
            #expect(manifest.claimedDigest == nil)
        }
    }

    @Test("a manifest may have 4 MiB, and not a byte more", arguments: [0, 1])
    func size(_ excess: Int) async throws {
        let bytes = [UInt8](repeating: 0x20, count: ManifestDocument.maximumBytes + excess)
        try await withUpstream { upstream, client, repository in
            upstream.fault("GET ", .answer(200, [:], bytes))
            guard excess > 0 else {
                let manifest = try await client.manifest(.tag("latest"), in: repository)
                #expect(manifest.bytes.count == bytes.count)
                return
            }
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .badContent)
        }
    }

    @Test(
        "a refusal is its cause, however large its page is",
        arguments: [
            (401, .denied), (403, .denied), (404, .notFound), (429, .rateLimited), (500, .upstreamError),
            (503, .upstreamError), (204, .upstreamError),
        ] as [(Int, FetchFailure.Cause)]
    )
    func refused(_ status: Int, _ cause: FetchFailure.Cause) async throws {
        try await withUpstream { upstream, client, repository in
            let page = status == 204 ? [] : [UInt8](repeating: 0x20, count: 5_000_000)
            upstream.fault("GET ", .answer(status, [:], page))
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == cause)
            #expect(failure.upstreamStatus == status)
            #expect(upstream.requests.count == 1)
        }
    }

    @Test("a manifest that breaks off is upstream's failure", arguments: [true, false])
    func truncated(_ isReset: Bool) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.fault("GET ", .truncate(after: 10, reset: isReset))
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .upstreamError)
            #expect(failure.upstreamStatus == nil)
        }
    }

    // MARK: - No answer

    @Test("an upstream that doesn't answer in time, in whatever phase, is too slow")
    func timeout() async throws {
        let gate = Gate()
        defer { gate.open() }
        var deadlines = UpstreamClient.Deadlines()
        deadlines.firstByte = .milliseconds(150)
        deadlines.idle = .milliseconds(150)
        try await withUpstream(deadlines: deadlines) { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.fault("HEAD ", .hold(gate))
            upstream.fault("GET ", .stall(after: 10, gate))
            let head = try await failure { _ = try await client.head(.tag("latest"), in: repository) }
            #expect(head.cause == .timeout)
            let get = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(get.cause == .timeout)
            gate.open()
        }
    }

    @Test("a manifest as a whole has a deadline")
    func smallObject() async throws {
        let gate = Gate()
        var deadlines = UpstreamClient.Deadlines()
        deadlines.smallObject = .milliseconds(150)
        try await withUpstream(deadlines: deadlines) { upstream, client, repository in
            upstream.add(Self.image, to: "org/app", tag: "latest")
            upstream.fault("GET ", .stall(after: 10, gate))
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .timeout)
            gate.open()
        }
    }

    @Test("an upstream that isn't there can't be reached, one at a private address isn't tried")
    func unreachable() async throws {
        let closed = try ClosedPort()
        let nobody = UpstreamRepository.sample("http://127.0.0.1:\(closed.port)")
        try await withUpstream { _, client, _ in
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: nobody) }
            #expect(failure.cause == .unreachable)
            #expect(failure.message.contains(nobody.address.registry))
        }
        withExtendedLifetime(closed) {}
        try await withUpstream(allowed: []) { upstream, client, repository in
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .refusedAddress)
            #expect(upstream.requests.isEmpty)
        }
    }

    // MARK: - Redirects

    @Test("a manifest may be elsewhere", arguments: [301, 302, 303, 307, 308])
    func redirect(_ status: Int) async throws {
        try await withUpstream { upstream, client, repository in
            upstream.add(Self.image, to: "moved/app", tag: "new")
            upstream.fault("/v2/org/", .redirect("/v2/moved/app/manifests/new", status: status))
            let digest = try await client.head(.tag("latest"), in: repository)
            #expect(digest == Self.image.digest)
            let manifest = try await client.manifest(.tag("latest"), in: repository)
            #expect(manifest.bytes == Self.image.bytes)
            #expect(
                upstream.requests.map(\.method) == ["HEAD", "HEAD", "GET", "GET"],
                "the method stays the same, whatever the status"
            )
        }
    }

    @Test("redirects in a circle come to an end")
    func circle() async throws {
        try await withUpstream { upstream, client, repository in
            upstream.fault("GET ", .redirect("/v2/org/app/manifests/latest", status: 307))
            let failure = try await failure { _ = try await client.manifest(.tag("latest"), in: repository) }
            #expect(failure.cause == .upstreamError)
            #expect(upstream.requests.count == 6)
        }
    }

    @Test("a redirect to an address that isn't allowed isn't followed")
    func redirectInside() async throws {
        try await ScriptedUpstream.with { inside in
            try await withUpstream { upstream, client, _ in
                // Only this upstream's own host and port are an exception.
                let repository = UpstreamRepository.sample("http://localhost:\(upstream.port)")
                upstream.fault("GET ", .redirect(inside.url + "/latest/meta-data", status: 307))
                try await withUpstream(allowed: ["localhost:\(upstream.port)"]) { _, strict, _ in
                    let failure = try await failure { _ = try await strict.manifest(.tag("latest"), in: repository) }
                    #expect(failure.cause == .refusedAddress)
                }
                #expect(inside.requests.isEmpty)
                _ = client
            }
        }
    }
}
