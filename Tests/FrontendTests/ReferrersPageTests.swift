// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@testable import Frontend

@Suite("Pages of referrers")
struct ReferrersPageTests {
    private static let all = (0..<5).map { number in
        Descriptor(mediaType: .ociManifest, digest: Digest.of([UInt8(number)]), size: 10)
    }

    @Test("pages are cut by bytes and follow each other without gap or repetition, one at least on each")
    func walking() throws {
        for limit in [1, 400, 1_000_000] {
            var walked: [Descriptor] = []
            while true {
                let (page, hasMore) = try ListEndpoint.page(
                    of: Self.all,
                    after: walked.last?.digest,
                    maximumBytes: limit
                )
                #expect(!page.isEmpty)
                walked += page
                if !hasMore { break }
            }
            #expect(walked == Self.all)
        }
    }

    @Test("after a descriptor that is gone there is nothing")
    func gone() throws {
        let (page, hasMore) = try ListEndpoint.page(of: Self.all, after: Digest.of([99]))
        #expect(page.isEmpty && !hasMore)
    }
}
