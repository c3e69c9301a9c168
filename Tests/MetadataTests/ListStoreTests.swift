// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Lists of a repository", .timeLimit(.minutes(2)))
struct ListStoreTests {
    private func tags(
        _ stores: Stores,
        in repository: String = "library/alpine",
        after last: String? = nil,
        limit: Int = 100
    ) async throws -> [String]? {
        try await stores.lists.tags(
            of: stores.repository(repository),
            organization: stores.organization,
            after: last,
            limit: limit,
            on: stores.client
        )
    }

    private func referrers(
        of image: ImageFixture,
        in repository: String = "library/alpine",
        _ stores: Stores
    ) async throws -> [ManifestRecord] {
        try await stores.lists.referrers(
            of: image.digest,
            repository: stores.repository(repository),
            organization: stores.organization,
            on: stores.client
        )
    }

    @Test("a repository that isn't there has no list, one without tags an empty one")
    func absent() async throws {
        try await TestDatabase.withStores { stores in
            #expect(try await tags(stores) == nil)
            try await stores.store(.unique())
            #expect(try await tags(stores) == [])
            #expect(try await tags(stores, in: "library/busybox") == nil)
        }
    }

    /// In the order of their bytes, which isn't that of the database's language.
    private static let names = ["1.0", "1.0-rc", "1.0.1", "10", "2", "B", "Latest", "_x", "a", "a-b", "aB", "ab", "b"]

    @Test("tags are listed in the order of their bytes, a page at a time")
    func paging() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            for name in Self.names.shuffled() { try await stores.tag(name, image) }
            #expect(try await tags(stores) == Self.names)
            for size in [1, 4, Self.names.count] {
                var listed: [String] = []
                var pages = 0
                while let page = try await tags(stores, after: listed.last, limit: size), !page.isEmpty {
                    #expect(page.count <= size)
                    listed += page
                    pages += 1
                }
                #expect(listed == Self.names)
                #expect(pages == (Self.names.count + size - 1) / size)
            }
        }
    }

    @Test("a page begins after the given name whether or not there is such a tag")
    func afterAnyName() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            for name in ["a", "c"] { try await stores.tag(name, image) }
            #expect(try await tags(stores, after: "b") == ["c"])
            #expect(try await tags(stores, after: "a") == ["c"])
            #expect(try await tags(stores, after: "c") == [], "past the end, not an unknown repository")
            #expect(try await tags(stores, limit: 0) == [])
        }
    }

    @Test("tags that ended, moved or belong elsewhere don't show")
    func onlyLive() async throws {
        try await TestDatabase.withStores { stores in
            try await stores.tag("ended", .unique())
            try await stores.client.query(
                "UPDATE tag SET lifetime_end_at = now() WHERE name = 'ended' AND lifetime_end_at IS NULL"
            )
            try await stores.tag("moved", .unique())
            try await stores.tag("moved", .unique())
            try await stores.tag("elsewhere", .unique(), in: "library/busybox")
            #expect(try await tags(stores) == ["moved"])
            #expect(try await stores.find("ended") == nil)
        }
    }

    @Test("referrers are the repository's manifests that name the subject, oldest first")
    func referrers() async throws {
        try await TestDatabase.withStores { stores in
            let (image, other) = (ImageFixture.unique(), ImageFixture.unique())
            let attached = (0..<3).map { _ in ImageFixture.artifact(attachedTo: image) }
            let elsewhere = ImageFixture.artifact(attachedTo: image)
            #expect(try await referrers(of: image, stores).isEmpty)
            for artifact in attached { try await stores.store(artifact) }
            try await stores.store(.artifact(attachedTo: other))
            try await stores.store(elsewhere, in: "library/busybox")
            let found = try await referrers(of: image, stores)
            #expect(found.map(\.digest) == attached.map(\.digest))
            #expect(found.map(\.bytes) == attached.map(\.bytes))
            #expect(found.allSatisfy { $0.mediaType == .ociManifest })
            #expect(try await referrers(of: image, in: "library/busybox", stores).map(\.digest) == [elsewhere.digest])
            #expect(try await referrers(of: image, in: "no/such", stores).isEmpty)
            #expect(try await referrers(of: attached[0], stores).isEmpty)
        }
    }
}
