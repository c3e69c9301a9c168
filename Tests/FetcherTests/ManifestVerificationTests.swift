// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import TestSupport
import Testing

@testable import Fetcher
@testable import Upstream

@Suite("Manifest verification")
struct ManifestVerificationTests {
    private let image = ImageFixture.single(seed: 1, size: 10)

    private func repository() throws -> UpstreamRepository {
        UpstreamRepository(
            address: try UpstreamAddress(parsing: "quay.io"),
            name: try RepositoryName("team/app"),
            organization: OrganizationID(rawValue: 1),
            generation: 1
        )
    }

    private func verify(
        _ bytes: [UInt8],
        as type: String? = nil,
        claiming digest: Digest? = nil,
        for reference: Reference
    ) throws -> (digest: Digest, document: ManifestDocument) {
        try ManifestFetchHandler.verify(
            UpstreamManifest(bytes: bytes, contentType: try type.map { try MediaType($0) }, claimedDigest: digest),
            reference,
            try repository()
        )
    }

    private func latest() throws -> Reference { .tag(try TagName("latest")) }

    @Test("a manifest has the digest that it was asked for by", arguments: Digest.Algorithm.allCases)
    func byDigest(_ algorithm: Digest.Algorithm) throws {
        let wanted = Digest.of(image.bytes, algorithm: algorithm)
        let other = Digest.of([1])
        for claim in [nil, wanted, image.digest, other] {
            let verified = try verify(image.bytes, as: image.mediaType, claiming: claim, for: .digest(wanted))
            #expect(verified.digest == wanted)
            #expect(verified.document.kind == .image)
        }
    }

    @Test(
        "other bytes than those of the digest are refused, whatever upstream claims",
        arguments: Digest.Algorithm.allCases
    )
    func wrongDigest(_ algorithm: Digest.Algorithm) async throws {
        let wanted = Digest.of([1, 2, 3], algorithm: algorithm)
        for claim in [nil, wanted, image.digest] {
            let failure = await expect(.badContent) {
                _ = try verify(image.bytes, as: image.mediaType, claiming: claim, for: .digest(wanted))
            }
            #expect(failure?.message == "upstream quay.io/team/app sent other bytes than manifest \(wanted)")
        }
    }

    @Test("one changed byte is found")
    func changedByte() async throws {
        let text = String(decoding: image.bytes, as: UTF8.self).replacing("\"size\":10", with: "\"size\":11")
        try #require(Array(text.utf8).count == image.bytes.count)
        await expect(.badContent) { _ = try verify(Array(text.utf8), for: .digest(image.digest)) }
    }

    @Test("a tag's manifest gets the digest of its bytes, by the algorithm of what upstream claims")
    func byTag() throws {
        let long = Digest.of(image.bytes, algorithm: .sha512)
        let claims: [(Digest?, Digest)] = [(nil, image.digest), (image.digest, image.digest), (long, long)]
        for (claim, expected) in claims {
            #expect(try verify(image.bytes, claiming: claim, for: latest()).digest == expected)
        }
    }

    @Test("a tag's manifest is refused when upstream says that it sends another", arguments: Digest.Algorithm.allCases)
    func otherClaim(_ algorithm: Digest.Algorithm) async throws {
        let claim = Digest.of([1], algorithm: algorithm)
        let failure = await expect(.badContent) { _ = try verify(image.bytes, claiming: claim, for: latest()) }
        let reason = "upstream quay.io/team/app sent other bytes for latest than those of \(claim), which it names"
        #expect(failure?.message == reason)
    }

    @Test(
        "what is no manifest is bad content",
        arguments: [
            "", "{", "{}", "[]", "null", "\"text\"", "<html><body>Log in</body></html>", "{\"schemaVersion\":2}",
            "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}", "{\"schemaVersion\":2,\"layers\":[]}",
        ]
    )
    func notAManifest(_ text: String) async throws {
        for type in [nil, "text/html", "application/json", ImageFixture.ociManifest] {
            let failure = await expect(.badContent) { _ = try verify(Array(text.utf8), as: type, for: latest()) }
            #expect(failure?.message.hasPrefix("upstream quay.io/team/app sent for latest: ") == true)
            #expect(failure?.isTemporary == false)
        }
    }

    @Test("a digest doesn't make a manifest of what is none")
    func notAManifestByDigest() async {
        let bytes = Array("<html></html>".utf8)
        await expect(.badContent) { _ = try verify(bytes, for: .digest(Digest.of(bytes))) }
    }

    @Test(
        "formats that aren't served are unsupported",
        arguments: [
            ("{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":[]}", nil),
            ("{\"schemaVersion\":1}", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
            ("{\"name\":\"a\"}", "application/vnd.docker.distribution.manifest.v1+json"),
            ("{\"schemaVersion\":3}", nil),
            ("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\"}", nil),
        ] as [(String, String?)]
    )
    func unsupported(_ text: String, _ type: String?) async throws {
        let bytes = Array(text.utf8)
        await expect(.unsupported) { _ = try verify(bytes, as: type, for: latest()) }
        await expect(.unsupported) { _ = try verify(bytes, as: type, for: .digest(Digest.of(bytes))) }
    }

    @Test("what one client takes for an image and another for an index is refused")
    func confusion() async throws {
        let index = ImageFixture.index([image])
        let bodyOfBoth = Array((String(decoding: image.bytes, as: UTF8.self).dropLast() + ",\"manifests\":[]}").utf8)
        let cases: [([UInt8], String?)] = [
            (image.bytes, index.mediaType), (index.bytes, image.mediaType), (index.bytes, ImageFixture.dockerManifest),
            (bodyOfBoth, nil), (bodyOfBoth, image.mediaType), (bodyOfBoth, index.mediaType),
        ]
        for (bytes, type) in cases {
            await expect(.badContent) { _ = try verify(bytes, as: type, for: .digest(Digest.of(bytes))) }
        }
    }

    @Test("the type is the body's own, else the one that it came with, else what its shape says")
    func mediaType() throws {
        let nameless = ImageFixture.image(layers: [], namesMediaType: false)
        let cases: [([UInt8], String?, MediaType)] = [
            (image.bytes, nil, .ociManifest), (image.bytes, "application/json", .ociManifest),
            (nameless.bytes, nil, .ociManifest), (nameless.bytes, ImageFixture.dockerManifest, .dockerManifest),
            (nameless.bytes, "text/plain", .ociManifest), (ImageFixture.index([image]).bytes, nil, .ociIndex),
        ]
        for (bytes, type, expected) in cases {
            #expect(try verify(bytes, as: type, for: latest()).document.mediaType == expected)
        }
    }

    @Test("a manifest that is too large is bad content")
    func tooLarge() async throws {
        let bytes = [UInt8](repeating: UInt8(ascii: " "), count: ManifestDocument.maximumBytes + 1)
        await expect(.badContent) { _ = try verify(bytes, for: latest()) }
    }
}
