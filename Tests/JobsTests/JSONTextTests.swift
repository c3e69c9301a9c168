// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import OCI
import TestSupport
import Testing

@Suite("JSON of payloads and results")
struct JSONTextTests {
    @Test("keys are sorted and slashes stay, so that equal values are equal texts")
    func canonical() throws {
        let digest = Digest.of([1, 2, 3])
        let fetch = BlobFetch(
            organization: OrganizationID(rawValue: 7),
            upstream: ProxyCacheConfig.sample.upstream.baseURL,
            repository: try RepositoryName("library/alpine"),
            digest: digest,
            sizeBytes: 3
        )
        #expect(
            JSONText.encode(fetch)
                == #"{"digest":"\#(digest)","organization":7,"repository":"library/alpine","sizeBytes":3,"#
                + #""upstream":"https://quay.io"}"#
        )
        #expect(try JSONText.decode(BlobFetch.self, JSONText.encode(fetch)) == fetch)
    }

    @Test("both kinds of reference survive", arguments: ["latest", "sha256:" + String(repeating: "a", count: 64)])
    func references(_ text: String) throws {
        let reference = text.contains(":") ? Reference.digest(try Digest(text)) : .tag(try TagName(text))
        let fetch = ManifestFetch(
            organization: OrganizationID(rawValue: 1),
            config: .sample,
            repository: try RepositoryName("team/image"),
            reference: reference
        )
        #expect(try JSONText.decode(ManifestFetch.self, JSONText.encode(fetch)) == fetch)
    }

    @Test("a verdict is a success or a failure, and either survives")
    func verdicts() throws {
        let success = FetchVerdict(success: ManifestFetched(digest: Digest.of([1]), isNew: true))
        let failure = FetchVerdict<ManifestFetched>(
            failure: FetchFailure(.rateLimited, "upstream \"quay.io\" limits our rate", retryAfterSeconds: 30)
        )
        for verdict in [success, failure] {
            #expect(try JSONText.decode(FetchVerdict<ManifestFetched>.self, JSONText.encode(verdict)) == verdict)
        }
    }

    @Test("text that isn't the type is an error", arguments: ["", "{}", "[]", #"{"digest":"x","isNew":true}"#])
    func garbage(_ text: String) {
        #expect(throws: (any Error).self) { try JSONText.decode(ManifestFetched.self, text) }
    }
}
