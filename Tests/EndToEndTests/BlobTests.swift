// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import TestSupport
import Testing

/// Pull requirements of the distribution specification that concern blobs: whole, in ranges, cold, arriving and warm.
@Suite struct BlobTests {
    private static let mebibyte: Int64 = 1_048_576

    /// Runs against one image with one layer, whose manifest has been pulled.
    private static func withLayer(
        _ layer: ImageFixture.Blob,
        frontends: Int = 1,
        _ body: (ScriptedUpstream, Deployment, _ path: String) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(.image(layers: [layer]), to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: frontends) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                upstream.forgetRequests()
                try await body(upstream, deployment, "/v2/up/a/b/blobs/\(layer.digest)")
            }
        }
    }

    @Test(
        "a blob is served byte for byte, cold and warm, whatever its size and digest",
        arguments: [0, 1, 2_048, 65_535, 65_536, 65_537, 3 * mebibyte + 17]
    )
    func everySize(_ size: Int64) async throws {
        for algorithm in [OCI.Digest.Algorithm.sha256, .sha512] {
            let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 1, size: size), algorithm)
            try await Self.withLayer(blob) { upstream, deployment, path in
                for _ in 0..<2 {
                    let got = try await deployment.registry.get(path)
                    #expect(got.status == 200 && got.failure == nil)
                    #expect(got.body == blob.bytes(0..<size))
                    #expect(got.headers[.contentLength] == String(size))
                    #expect(got.headers[.dockerContentDigest] == blob.digest.description)
                    #expect(got.headers[.acceptRanges] == "bytes")
                }
                #expect(upstream.count("GET") == 1)
                try await eventually("the partial is published") { try deployment.partials().isEmpty }
            }
        }
    }

    @Test("HEAD of a cold blob tells its size and fetches nothing")
    func coldHead() async throws {
        try await Self.withLayer(.fixture(BlobFixture(seed: 2, size: 5_000))) { upstream, deployment, path in
            let head = try await deployment.registry.head(path)
            #expect(head.status == 200 && head.body.isEmpty)
            #expect(head.headers[.contentLength] == "5000")
            #expect(upstream.requests.isEmpty)
        }
    }

    /// Range, status, and the part of the 2,048 bytes that is right.
    private static let ranges: [(header: String, status: Int, part: Range<Int64>)] = [
        ("bytes=500-1499", 206, 500..<1_500), ("bytes=500-", 206, 500..<2_048), ("bytes=-500", 206, 1_548..<2_048),
        ("bytes=2000-5000", 206, 2_000..<2_048), ("bytes=0-0", 206, 0..<1), ("bytes=0-", 206, 0..<2_048),
        ("bytes=500-0", 416, 0..<0), ("bytes=5000-10000", 416, 0..<0), ("items=0-1", 200, 0..<2_048),
    ]

    @Test("single, open-ended and suffix ranges, of a cold blob and of a warm one")
    func ranges() async throws {
        let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 3, size: 2_048))
        try await Self.withLayer(blob) { upstream, deployment, path in
            for state in ["cold", "warm"] {
                for (header, status, part) in Self.ranges {
                    let got = try await deployment.registry.get(path, [.range: header])
                    #expect(got.status == status, "\(state) \(header)")
                    switch status {
                    case 416:
                        #expect(got.headers[.contentRange] == "bytes */2048")
                        #expect(got.errorCode == "RANGE_INVALID")
                        #expect(got.headers[.contentLength] == String(got.body.count))
                    case 206:
                        #expect(got.headers[.contentRange] == "bytes \(part.lowerBound)-\(part.upperBound - 1)/2048")
                        fallthrough
                    default:
                        #expect(got.body == blob.bytes(part), "\(state) \(header)")
                        #expect(got.headers[.contentLength] == String(part.count))
                    }
                }
            }
            #expect(upstream.count("GET") == 1)
        }
    }

    @Test("several ranges in one request, of a cold blob and of a warm one")
    func multipleRanges() async throws {
        let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 4, size: 300_000))
        try await Self.withLayer(blob) { upstream, deployment, path in
            for _ in 0..<2 {
                let got = try await deployment.registry.get(path, [.range: "bytes=6146-6153,200000-200099,-10"])
                #expect(got.status == 206 && got.failure == nil)
                let type = try #require(got.headers[.contentType])
                let boundary = try #require(type.split(separator: "boundary=").last.map(String.init))
                #expect(type.hasPrefix("multipart/byteranges"))
                var expected: [UInt8] = []
                for part in [6_146..<6_154, 200_000..<200_100, 299_990..<300_000] as [Range<Int64>] {
                    let head =
                        "\r\n--\(boundary)\r\nContent-Type: application/octet-stream\r\n"
                        + "Content-Range: bytes \(part.lowerBound)-\(part.upperBound - 1)/300000\r\n\r\n"
                    expected += Array(head.utf8) + blob.bytes(part)
                }
                expected += Array("\r\n--\(boundary)--\r\n".utf8)
                // The line break before the first boundary is optional.
                #expect(got.body == expected || got.body == Array(expected.dropFirst(2)))
                #expect(got.headers[.contentLength] == String(got.body.count))
            }
            #expect(upstream.count("GET") == 1)
        }
    }

    @Test("ETag, If-None-Match and If-Range")
    func conditions() async throws {
        let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 5, size: 2_048))
        try await Self.withLayer(blob) { _, deployment, path in
            let tag = "\"\(blob.digest)\""
            let cold = try await deployment.registry.get(path, [.ifNoneMatch: tag])
            #expect(cold.status == 304 && cold.body.isEmpty)
            let whole = try await deployment.registry.get(path)
            #expect(whole.headers[.eTag] == tag)
            let matching = try await deployment.registry.get(path, [.range: "bytes=0-9", .ifRange: tag])
            #expect(matching.status == 206)
            let other = try await deployment.registry.get(path, [.range: "bytes=0-9", .ifRange: "\"other\""])
            #expect(other.status == 200 && other.body.count == 2_048)
        }
    }

    @Test("clients get bytes of a cold blob while upstream is still sending")
    func streamsWhileStoring() async throws {
        let fixture = BlobFixture(seed: 6, size: 4 * Self.mebibyte)
        let blob = ImageFixture.Blob.fixture(fixture)
        try await Self.withLayer(blob) { upstream, deployment, path in
            let gate = Gate()
            upstream.fault("/blobs/", .stall(after: 2 * Self.mebibyte, gate))
            let part = try await deployment.registry.getPart(path, atLeast: Int(Self.mebibyte))
            #expect(part.status == 200)
            #expect(part.body.starts(with: fixture.bytes(0..<Self.mebibyte)))
            // A range of what has arrived is answered at once, one of what hasn't waits for it.
            let early = try await deployment.registry.get(path, [.range: "bytes=1000-1999"])
            #expect(early.body == fixture.bytes(1_000..<2_000))
            async let late = deployment.registry.get(path, [.range: "bytes=-1000"])
            try await eventually("upstream stands") { gate.arrivals == 1 }
            gate.open()
            let tail = try await late.body
            #expect(tail == fixture.bytes(fixture.size - 1_000..<fixture.size))
            #expect(try await deployment.registry.digest(path).digest == blob.digest)
            #expect(upstream.count("GET") == 1)
        }
    }

    @Test("the last bytes are held back until the digest is known")
    func heldBack() async throws {
        let fixture = BlobFixture(seed: 7, size: Self.mebibyte)
        try await Self.withLayer(.fixture(fixture)) { upstream, deployment, path in
            let gate = Gate()
            upstream.fault("/blobs/", .stall(after: Self.mebibyte - 1, gate))
            let held = Int(Self.mebibyte) - 65_536
            let part = try await deployment.registry.getPart(path, atLeast: held)
            #expect(part.body.count == held)
            gate.open()
            expectServed(try await deployment.registry.get(path), fixture.bytes)
        }
    }

    @Test("a client that leaves doesn't stop the fetch")
    func clientLeaves() async throws {
        let fixture = BlobFixture(seed: 8, size: 8 * Self.mebibyte)
        let blob = ImageFixture.Blob.fixture(fixture)
        try await Self.withLayer(blob) { upstream, deployment, path in
            let gate = Gate()
            upstream.fault("/blobs/", .stall(after: Self.mebibyte, gate), times: 1)
            _ = try await deployment.registry.getPart(path, atLeast: 1_000)
            gate.open()
            try await eventually("the blob is published") { try deployment.published().count == 1 }
            upstream.forgetRequests()
            #expect(try await deployment.registry.digest(path).digest == blob.digest)
            #expect(upstream.requests.isEmpty)
        }
    }

    @Test("thirty-two clients over two frontends share one upstream GET of a cold blob")
    func sharedFetch() async throws {
        let blob = ImageFixture.Blob.fixture(BlobFixture(seed: 9, size: 16 * Self.mebibyte))
        try await Self.withLayer(blob, frontends: 2) { upstream, deployment, path in
            try await withThrowingTaskGroup(of: (Int, OCI.Digest).self) { group in
                for number in 0..<32 {
                    let client = deployment.clients[number % 2]
                    group.addTask {
                        let (status, digest, _) = try await client.digest(path)
                        return (status, digest)
                    }
                }
                for try await (status, digest) in group {
                    #expect(status == 200 && digest == blob.digest)
                }
            }
            #expect(upstream.count("/blobs/") == 1)
        }
    }

    @Test("a reader in steps of open-ended ranges that drops each connection costs one upstream GET")
    func steppedReader() async throws {
        let fixture = BlobFixture(seed: 10, size: 12 * Self.mebibyte + 5)
        try await Self.withLayer(.fixture(fixture)) { upstream, deployment, path in
            let step = Self.mebibyte
            try await withThrowingTaskGroup(of: Void.self) { group in
                var offset: Int64 = 0
                var running = 0
                while offset < fixture.size {
                    if running == 3 { try await group.next() } else { running += 1 }
                    let wanted = offset..<min(offset + step, fixture.size)
                    // A client of its own: its connection is dropped with it.
                    let client = TestClient(deployment.registry.base)
                    group.addTask {
                        let range: HTTPFields = [.range: "bytes=\(wanted.lowerBound)-"]
                        let got = try await client.getPart(path, range, atLeast: wanted.count)
                        #expect(got.status == 206)
                        #expect(got.body.prefix(wanted.count) == fixture.bytes(wanted)[...])
                    }
                    offset += step
                }
                try await group.waitForAll()
            }
            #expect(upstream.count("GET") == 1)
        }
    }

    @Test("blobs that only an index names, as BuildKit's caches do, are pulled like layers, or fetched ahead")
    func listedBlobs() async throws {
        let cache = ImageFixture.cache(layers: [.fixture(BlobFixture(seed: 12, size: 100_000)), .text("layer")])
        try await ScriptedUpstream.with { upstream in
            upstream.add(cache, to: "a/b", tag: "buildcache")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/buildcache"), cache.bytes)
                for blob in cache.blobs {
                    let got = try await deployment.registry.get("/v2/up/a/b/blobs/\(blob.digest)")
                    expectServed(got, blob.bytes(0..<blob.size))
                }
            }
            let soon = ["ENTREPOT_FILL_DELAY": "100ms"]
            try await Deployment.with(["up=\(upstream.url)"], environment: soon) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/buildcache"), cache.bytes)
                try await eventually("the blobs are here") { try deployment.published().count == 3 }
            }
        }
    }

    @Test("a stored file that was lost or damaged is fetched again")
    func selfHealing() async throws {
        let fixture = BlobFixture(seed: 11, size: 100_000)
        try await Self.withLayer(.fixture(fixture)) { upstream, deployment, path in
            expectServed(try await deployment.registry.get(path), fixture.bytes)
            let file = try await deployment.placedFile()
            try truncateFile(file, to: 50_000)
            expectServed(try await deployment.registry.get(path), fixture.bytes)
            try removeFile(try await deployment.placedFile(other: file))
            expectServed(try await deployment.registry.get(path), fixture.bytes)
            #expect(upstream.count("GET") == 3)
        }
    }
}
