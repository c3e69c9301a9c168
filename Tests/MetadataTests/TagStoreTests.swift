// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Tags", .timeLimit(.minutes(2)))
struct TagStoreTests {
    /// The tag's lifetimes, oldest first: digest and whether it is the live one.
    private func history(_ tag: String, in repository: RepositoryID, _ stores: Stores) async throws -> [(String, Bool)]
    {
        try await stores.client.query(
            """
            SELECT m.digest, t.lifetime_end_at IS NULL FROM tag t JOIN manifest m ON m.id = t.manifest_id
            WHERE t.repository_id = \(repository.rawValue) AND t.name = \(tag) ORDER BY t.id
            """
        ).decode((String, Bool).self)
    }

    private func backdate(_ tag: TagRecord?, _ stores: Stores) async throws {
        try await stores.client.query(
            "UPDATE tag SET checked_at = now() - interval '1 hour' WHERE id = \(tag?.id.rawValue)"
        )
    }

    @Test("a tag isn't there until it is pointed at a manifest, and then only in that repository")
    func point() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            #expect(try await stores.find("latest") == nil)
            let tag = try #require(try await stores.tag("latest", image))
            #expect(tag.digest == image.digest)
            #expect(tag.sinceCheck >= .zero && tag.sinceCheck < .seconds(60))
            try await stores.store(image, in: "library/busybox")
            #expect(try await stores.find("latest", in: "library/busybox") == nil)
            #expect(try await stores.find("Latest") == nil)
            let other = try await Stores.makeOrganization(on: stores.client)
            #expect(
                try await stores.tags.find(
                    TagName("latest"),
                    repository: stores.repository(),
                    organization: other,
                    on: stores.client
                ) == nil
            )
        }
    }

    @Test("pointing a tag at what it names renews the check and begins no new lifetime")
    func pointAgain() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let first = try await stores.tag("latest", image)
            try await backdate(first, stores)
            let stale = try #require(try await stores.find("latest"))
            #expect(stale.sinceCheck >= .seconds(3_600))
            let renewed = try #require(try await stores.tag("latest", image))
            #expect(renewed.id == first?.id)
            #expect(renewed.sinceCheck < .seconds(60))
        }
    }

    @Test("a tag that moves begins a new lifetime and keeps its history, even when it moves back")
    func move() async throws {
        try await TestDatabase.withStores { stores in
            let (one, two) = (ImageFixture.unique(), ImageFixture.unique())
            let (repository, _) = try await stores.store(one)
            var ids: [TagID?] = []
            for image in [one, two, one] {
                let tag = try await stores.tag("latest", image)
                #expect(tag?.digest == image.digest)
                ids.append(tag?.id)
            }
            #expect(Set(ids).count == 3)
            let history = try await history("latest", in: repository, stores)
            #expect(history.map(\.0) == [one, two, one].map(\.digest.rawValue))
            #expect(history.map(\.1) == [false, false, true])
        }
    }

    @Test("other tags of the repository stay where they are")
    func othersStay() async throws {
        try await TestDatabase.withStores { stores in
            let (one, two) = (ImageFixture.unique(), ImageFixture.unique())
            let pinned = try await stores.tag("v1", one)
            try await stores.tag("latest", one)
            try await stores.tag("latest", two)
            #expect(try await stores.find("v1")?.id == pinned?.id)
            #expect(try await stores.find("v1")?.digest == one.digest)
        }
    }

    @Test("a confirmed tag counts as just checked")
    func confirm() async throws {
        try await TestDatabase.withStores { stores in
            let tag = try #require(try await stores.tag("latest", .unique()))
            try await backdate(tag, stores)
            #expect(try await stores.confirm(tag.id) == 1)
            let confirmed = try #require(try await stores.find("latest"))
            #expect(confirmed.id == tag.id)
            #expect(confirmed.sinceCheck < .seconds(60))
        }
    }

    @Test("a tag that has moved meanwhile can't be confirmed")
    func confirmMoved() async throws {
        try await TestDatabase.withStores { stores in
            let old = try #require(try await stores.tag("latest", .unique()))
            let new = try #require(try await stores.tag("latest", .unique()))
            try await backdate(new, stores)
            #expect(try await stores.confirm(old.id) == 0)
            #expect(try await stores.confirm(TagID(rawValue: -1)) == 0)
            #expect(try #require(try await stores.find("latest")).sinceCheck >= .seconds(3_600))
        }
    }

    @Test("a tag can only name a manifest that the repository has")
    func foreignManifest() async throws {
        try await TestDatabase.withStores { stores in
            let (repository, _) = try await stores.store(.unique())
            let (_, elsewhere) = try await stores.store(.unique(), in: "library/busybox")
            let error = await #expect(throws: PostgresError.self) {
                try await stores.tags.point(
                    TagName("latest"),
                    at: elsewhere,
                    repository: repository,
                    expiration: .seconds(86_400),
                    on: stores.client
                )
            }
            #expect(error?.sqlState == .foreignKeyViolation)
            #expect(try await stores.find("latest") == nil)
        }
    }

    @Test("a transaction that began before the tag's present lifetime can still move it")
    func olderTransaction() async throws {
        try await TestDatabase.withStores { stores in
            let (one, two, three) = (ImageFixture.unique(), ImageFixture.unique(), ImageFixture.unique())
            let (repository, last) = try await stores.store(three)
            try await stores.tag("latest", one)
            try await stores.client.withTransaction { transaction in
                try await transaction.query("SELECT now()")
                try await stores.tag("latest", two)
                try await stores.tags.point(
                    TagName("latest"),
                    at: last,
                    repository: repository,
                    expiration: .seconds(86_400),
                    on: transaction
                )
            }
            #expect(try await stores.find("latest")?.digest == three.digest)
            let history = try await history("latest", in: repository, stores)
            #expect(history.map(\.0) == [one, two, three].map(\.digest.rawValue))
            let overlaps = try await stores.count(
                """
                SELECT count(*) FROM tag a JOIN tag b ON b.repository_id = a.repository_id AND b.name = a.name
                    AND b.id > a.id AND b.lifetime_start_at < coalesce(a.lifetime_end_at, 'infinity')
                WHERE a.repository_id = \(repository.rawValue)
                """
            )
            #expect(overlaps == 0, "one lifetime ends before the next begins")
        }
    }

    @Test("of two that move a tag at once the second waits for the first, and then moves it")
    func inOrder() async throws {
        try await TestDatabase.withStores { stores in
            let (one, two) = (ImageFixture.unique(), ImageFixture.unique())
            let (repository, first) = try await stores.store(one)
            let (_, second) = try await stores.store(two)
            @Sendable func point(_ manifest: ManifestID, _ transaction: Connection) async throws {
                try await stores.tags.point(
                    TagName("latest"),
                    at: manifest,
                    repository: repository,
                    expiration: nil,
                    on: transaction
                )
            }
            let waiter = try await stores.client.withTransaction { transaction in
                try await point(first, transaction)
                let waiter = Task { try await stores.client.withTransaction { try await point(second, $0) } }
                try await stores.client.untilSomebodyWaits(for: transaction)
                return waiter
            }
            try await waiter.value
            #expect(try await stores.find("latest")?.digest == two.digest)
            #expect(try await history("latest", in: repository, stores).map(\.1) == [false, true])
        }
    }

    @Test("a tag that several move at once ends with one live lifetime")
    func concurrent() async throws {
        try await TestDatabase.withStores { stores in
            var manifests: [ManifestID] = []
            var repository = RepositoryID(rawValue: 0)
            for _ in 0..<4 {
                let stored = try await stores.store(.unique())
                manifests.append(stored.manifest)
                repository = stored.repository
            }
            try await withThrowingTaskGroup(of: Void.self) { [repository] group in
                for manifest in manifests + manifests {
                    group.addTask {
                        try await stores.client.withTransaction { transaction in
                            try await stores.tags.point(
                                TagName("latest"),
                                at: manifest,
                                repository: repository,
                                expiration: .seconds(86_400),
                                on: transaction
                            )
                        }
                    }
                }
                try await group.waitForAll()
            }
            let history = try await history("latest", in: repository, stores)
            #expect(history.filter(\.1).count == 1)
            #expect(try await stores.find("latest") != nil)
        }
    }
}

extension Stores {
    /// Returns how many tags that confirms.
    fileprivate func confirm(_ tag: TagID) async throws -> Int {
        try await client.execute(tags.confirmation(of: tag, expiration: .seconds(86_400)))
    }
}
