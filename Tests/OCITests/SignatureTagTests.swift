// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite("Tags made from digests")
struct SignatureTagTests {
    private static let hex = String(repeating: "0a", count: 32)
    private static let digest = "sha256:" + hex

    @Test(
        "the image of a signature, an attestation, a bill of materials or a referrers tag is read from the tag",
        arguments: ["sha256-\(hex)", "sha256-\(hex).sig", "sha256-\(hex).att", "sha256-\(hex).sbom"]
    )
    func subjects(_ tag: String) throws {
        #expect(SignatureTag.subject(of: try TagName(tag))?.rawValue == Self.digest)
    }

    @Test(
        "any other tag has none",
        arguments: [
            "latest", "sha256-", "sha256-\(hex.dropLast())", "sha256-\(hex).other", "md5-\(hex)",
            "sha256-\(hex).sig.sig",
            "v1-\(hex)", "sha512-\(hex)",
        ]
    )
    func others(_ tag: String) throws { #expect(SignatureTag.subject(of: try TagName(tag)) == nil) }

    @Test("the referrers tag holds 64 characters of any digest")
    func referrers() throws {
        #expect(SignatureTag.referrers(of: try Digest(Self.digest)).rawValue == "sha256-\(Self.hex)")
        let long = try Digest("sha512:" + String(repeating: "b", count: 128))
        #expect(SignatureTag.referrers(of: long).rawValue == "sha512-" + String(repeating: "b", count: 64))
    }
}
