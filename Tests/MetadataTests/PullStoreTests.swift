// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("What pulls leave behind")
struct PullStoreTests {
    @Test("pulls that are written down together keep their order, and a later one isn't undone by an earlier one")
    func order() async throws {
        try await TestDatabase.withStores { stores in
            let images = (0..<2).map { _ in ImageFixture.unique() }
            var touches: [PullTouch] = []
            for (number, image) in images.enumerated() {
                let (repository, manifest) = try await stores.store(image)
                try await stores.tag("t\(number)", image)
                let tag = try TagName("t\(number)")
                touches.append(PullTouch(repository: repository, manifest: manifest, tag: tag, isRenewing: true))
            }
            func latest() async throws -> String? {
                try await stores.client.query(
                    """
                    SELECT t.name FROM tag t JOIN repository r ON r.id = t.repository_id
                    JOIN repository_manifest rm ON rm.repository_id = r.id AND rm.manifest_id = t.manifest_id
                    WHERE r.organization_id = \(stores.organization.rawValue) AND rm.last_pulled_at = t.last_pulled_at
                    ORDER BY t.last_pulled_at DESC LIMIT 1
                    """
                ).decodeFirst(String.self)
            }
            let (first, second) = (touches[0], touches[1])
            try await PullStore().touch([first: .milliseconds(100), second: .milliseconds(900)], on: stores.client)
            #expect(try await latest() == "t0")
            try await PullStore().touch([second: .seconds(60), first: .seconds(90)], on: stores.client)
            #expect(try await latest() == "t0", "these came first")
            try await PullStore().touch([second: .zero], on: stores.client)
            #expect(try await latest() == "t1")
        }
    }
}
