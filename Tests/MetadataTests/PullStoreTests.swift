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
            let now = ContinuousClock.now
            try await PullStore().touch(
                [first: now - .milliseconds(100), second: now - .milliseconds(900)],
                on: stores.client
            )
            #expect(try await latest() == "t0")
            try await PullStore().touch([second: now - .seconds(60), first: now - .seconds(90)], on: stores.client)
            #expect(try await latest() == "t0", "these came first")
            try await PullStore().touch([second: .now], on: stores.client)
            #expect(try await latest() == "t1")
        }
    }

    @Test("a pull that waits for a connection to be written down isn't later for that")
    func waiting() async throws {
        try await TestDatabase.withStores { stores in
            let (repository, manifest) = try await stores.store(.unique())
            let busy = stores.client.separate(connections: 1)
            let touch = PullTouch(repository: repository, manifest: manifest, tag: nil, isRenewing: true)
            try await withThrowingTaskGroup(of: Void.self) { group in
                let after = try await busy.withConnection { connection in
                    let pulled = ContinuousClock.now
                    group.addTask { try await PullStore().touch([touch: pulled], on: busy) }
                    let after = try await connection.query("SELECT clock_timestamp()::text").decodeFirst(String.self)
                    try await connection.query("SELECT pg_sleep(8)")
                    return after
                }
                try await group.waitForAll()
                let isLater = try await busy.query(
                    """
                    SELECT last_pulled_at > \(after)::timestamptz + interval '1 second' FROM repository_manifest
                    WHERE repository_id = \(repository.rawValue) AND manifest_id = \(manifest.rawValue)
                    """
                ).decodeFirst(Bool.self)
                #expect(isLater == false)
            }
            await busy.close()
        }
    }

    @Test("writing down a pull gives way to who has its manifest and goes on to its tags, as a deletion does")
    func givingWay() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let (repository, manifest) = try await stores.store(image)
            try await stores.tag("t", image)
            let touch = PullTouch(repository: repository, manifest: manifest, tag: try TagName("t"), isRenewing: true)
            let start = ContinuousClock.now
            try await stores.client.withTransaction { transaction in
                try await transaction.query(
                    "SELECT 1 FROM repository_manifest WHERE repository_id = \(repository.rawValue) FOR UPDATE"
                )
                let error = await #expect(throws: PostgresError.self) {
                    try await PullStore().touch([touch: .now], on: stores.client)
                }
                #expect(error?.sqlState == .lockNotAvailable)
                #expect(ContinuousClock.now - start < .seconds(45), "others wait for sixty")
                try await transaction.query(
                    "DELETE FROM repository_manifest WHERE repository_id = \(repository.rawValue)"
                )
            }
            #expect(try await stores.find("t") == nil)
        }
    }
}
