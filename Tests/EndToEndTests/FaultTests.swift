// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Blobs from upstreams that break off, lie or fall silent: wrong bytes are never published, and no client ever gets
/// a cleanly ended answer that is wrong.
@Suite struct FaultTests {
    private static let size: Int64 = 2_097_152
    private static let fixture = BlobFixture(seed: 20, size: size)
    private static let blob = ImageFixture.Blob.fixture(fixture)

    private static func withFault(
        _ environment: [String: String] = [:],
        _ body: (ScriptedUpstream, Deployment, _ path: String) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(.image(layers: [blob]), to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], environment: environment) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                upstream.forgetRequests()
                try await body(upstream, deployment, "/v2/up/a/b/blobs/\(blob.digest)")
            }
        }
    }

    private static func errors(_ deployment: Deployment) async throws -> String {
        try await deployment.client.query(
            "SELECT coalesce(string_agg(errors::text, ' '), '') FROM job WHERE kind = 'blob_fetch'"
        )
        .decodeFirst(String.self) ?? ""
    }

    @Test("an upstream that cuts the transfer is asked for the rest by Range", arguments: [false, true])
    func truncation(isReset: Bool) async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .truncate(after: Self.size / 2, reset: isReset), times: 1)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            let ranges = upstream.requests.map { $0.headers[.range] }
            #expect(ranges.count == 2 && ranges[0] == nil)
            #expect(ranges[1]?.hasPrefix("bytes=") == true && ranges[1]?.hasSuffix("-") == true)
            #expect(upstream.requests[1].headers[.ifRange] == "\"\(Self.blob.digest)\"")
        }
    }

    @Test("an upstream that cuts every transfer is resumed until the blob is whole")
    func repeatedTruncation() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .truncate(after: 400_000, reset: false))
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            #expect(upstream.requests.count == 6)
        }
    }

    @Test("an upstream that ignores Range sends everything again, and the client still gets the right bytes")
    func ignoredRange() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .truncate(after: Self.size / 2, reset: false), times: 1)
            upstream.fault("/blobs/", .ignoreRange)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            #expect(upstream.requests.count == 2)
        }
    }

    @Test("wrong bytes once: fetched again, and a client that had part of them is cut or right")
    func corruptOnce() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .corrupt(at: Self.size - 100), times: 1)
            // Nothing of the wrong part had gone out: it lies in the bytes that are held back.
            let got = try await deployment.registry.get(path)
            #expect(got.failure == nil && got.body == Self.fixture.bytes)
            #expect(upstream.requests.count == 2)
        }
    }

    @Test("wrong bytes early, once: the client that got them is cut off, the next one is served right")
    func corruptEarly() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .corrupt(at: 10), times: 1)
            let got = try await deployment.registry.get(path)
            #expect(got.failure != nil || got.body == Self.fixture.bytes)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
        }
    }

    @Test("wrong bytes always: no client gets a complete answer, nothing is published, the reason is kept")
    func corruptAlways() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .corrupt(at: Self.size - 100))
            let got = try await deployment.registry.get(path)
            #expect(got.status != 200 || got.failure != nil)
            #expect(got.body.count < Self.fixture.bytes.count)
            #expect(try deployment.published().isEmpty)
            #expect(try await Self.errors(deployment).contains("other bytes"))
            try await deployment.fetchers[0].line(containing: "wrong digest")
            upstream.clearFaults()
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
        }
    }

    @Test("a length that isn't the manifest's is refused before a byte goes out", arguments: [-1, 1] as [Int64])
    func wrongLength(_ delta: Int64) async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .lieAboutLength(by: delta))
            let got = try await deployment.registry.get(path)
            #expect(got.status == 502 && got.text.contains("the manifest says"), "\(got.text)")
            #expect(upstream.requests.count == 2)
            #expect(try deployment.published().isEmpty)
        }
    }

    @Test("a length that isn't the manifest's once: asked for again, and no client is the worse for it")
    func wrongLengthOnce() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .lieAboutLength(by: 1), times: 1)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            #expect(upstream.requests.count == 2)
        }
    }

    @Test("more bytes than the manifest says, once: what had come is given up, and the blob fetched anew")
    func tooLongOnce() async throws {
        try await Self.withFault { upstream, deployment, path in
            let long = Self.fixture.bytes + [0]
            try await RawServer.with { connection in
                try connection.request()
                // No length is declared: that there is too much shows when it comes.
                let size = String(long.count, radix: 16)
                try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(size)\r\n")
                try connection.send(long)
                try connection.send("\r\n0\r\n\r\n")
            } _: { server in
                upstream.fault("/blobs/", .redirect(server.url + "/long", status: 307), times: 1)
                expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
                #expect(upstream.requests.map { $0.headers[.range] } == [nil, nil])
            }
        }
    }

    @Test("a fetch that brought nothing leaves nothing, neither a file nor room on the device")
    func nothingLeft() async throws {
        try await Self.withFault { upstream, deployment, path in
            for status in [404, 503] {
                upstream.fault("/blobs/", .answer(status, [:], []))
                #expect(try await deployment.registry.get(path).status != 200)
                #expect(try deployment.partials().isEmpty, "\(status)")
                let known = try await deployment.client.query("SELECT 1 FROM blob WHERE partial_generation IS NOT NULL")
                #expect(known.isEmpty, "\(status)")
                upstream.clearFaults()
                try await deployment.forgetFailures()
            }
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
        }
    }

    @Test("a fetch that broke off for good keeps what it brought, for the next one")
    func partKept() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .truncate(after: Self.size / 2, reset: false), times: 1)
            upstream.fault("/blobs/", .answer(403, [:], []), times: 1)
            let got = try await deployment.registry.get(path)
            #expect(got.status == 403 || got.failure != nil)
            #expect(try deployment.partials().count == 1)
            upstream.forgetRequests()
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            #expect(upstream.requests.map { $0.headers[.range] } == ["bytes=\(Self.size / 2)-"])
        }
    }

    @Test("an upstream that declares no length is served all the same")
    func chunked() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .chunked)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
        }
    }

    @Test("an upstream that stalls is left and resumed")
    func stall() async throws {
        try await Self.withFault(["ENTREPOT_UPSTREAM_IDLE_TIMEOUT": "3s"]) { upstream, deployment, path in
            let gate = Gate()
            upstream.fault("/blobs/", .stall(after: Self.size / 2, gate), times: 1)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            gate.open()
            #expect(upstream.requests.count >= 2)
        }
    }

    @Test("an upstream that stalls for good: the client is cut off, the cause is kept, nothing is published")
    func stallForGood() async throws {
        try await Self.withFault(["ENTREPOT_UPSTREAM_IDLE_TIMEOUT": "1s"]) { upstream, deployment, path in
            let gate = Gate()
            upstream.fault("/blobs/", .stall(after: 0, gate))
            let got = try await deployment.registry.get(path)
            gate.open()
            #expect(got.status == 504 || got.failure != nil)
            #expect(try deployment.published().isEmpty)
            #expect(try await Self.errors(deployment).contains("sent nothing"))
        }
    }

    @Test("a stumble of upstream before the first byte is tried again")
    func stumble() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .answer(503, [:], []), times: 2)
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
            #expect(upstream.requests.count == 3)
        }
    }

    @Test("a blob that upstream hasn't is a 404, one that it denies a 403")
    func causes() async throws {
        try await Self.withFault { upstream, deployment, path in
            upstream.fault("/blobs/", .answer(404, [:], []), times: 1)
            let missing = try await deployment.registry.get(path)
            #expect(missing.status == 404 && missing.errorCode == "BLOB_UNKNOWN")
            upstream.fault("/blobs/", .answer(403, [:], []), times: 1)
            let denied = try await deployment.registry.get(path)
            #expect(denied.status == 403 && denied.errorCode == "DENIED")
            expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
        }
    }

    @Test("a redirect to another origin is followed without credentials")
    func redirect() async throws {
        try await ScriptedUpstream.with { other in
            other.add(.image(layers: [Self.blob]), to: "a/b", tag: "t")
            try await Self.withFault { upstream, deployment, path in
                upstream.requireBearer()
                // The token is fetched first, then the redirect strikes.
                upstream.fault("/blobs/", .redirect("\(other.url)/v2/a/b/blobs/\(Self.blob.digest)", status: 307))
                expectServed(try await deployment.registry.get(path), Self.fixture.bytes)
                #expect(other.requests.count == 1)
                #expect(other.requests[0].headers[.authorization] == nil)
            }
        }
    }
}
