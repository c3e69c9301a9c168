// SPDX-License-Identifier: Apache-2.0

import Blobs
import Jobs
import Logging
import Models
import OCI
import Postgres
import TestSupport
import Testing

@testable import PullThrough

/// Who shares a follow. Nothing is driven here: no database is reached.
@Suite("Blob follower")
struct BlobFollowerTests {
    private let folder: TemporaryDirectory
    private let follower: BlobFollower

    init() throws {
        folder = try TemporaryDirectory(isInMemory: true)
        let logger = Logger(label: "follower") { _ in SwiftLogNoOpLogHandler() }
        let database = PostgresConfiguration(connectionString: "host='\(folder.path)'")
        let client = PostgresClient(database, logger: logger)
        follower = BlobFollower(
            client: client,
            storage: try FileBlobStorage(root: folder.path + "/storage"),
            notifier: JobNotifier(client: client, logger: logger),
            hub: ChangeHub(database, logger: logger),
            logger: logger
        )
    }

    @Test("readers of one blob share its follow")
    func shared() throws {
        let first = follower.join(try .sample(size: 100))
        let second = follower.join(try .sample(size: 100))
        #expect(first.follow === second.follow)
    }

    @Test("readers of the same blob of another organization have a follow of their own")
    func otherOrganization() throws {
        let first = follower.join(try .sample(size: 100))
        let second = follower.join(try .sample(size: 100, organization: 2))
        #expect(first.follow !== second.follow)
        #expect(second.follow.fetch == (try .sample(size: 100, organization: 2)))
    }

    @Test("a manifest that says another size gets a follow of its own")
    func otherSize() throws {
        let first = follower.join(try .sample(size: 100))
        let second = follower.join(try .sample(size: 101))
        #expect(first.follow !== second.follow)
        #expect(first.follow.sizeBytes == 100)
        #expect(second.follow.sizeBytes == 101)
    }

    @Test("a follow lasts as long as somebody reads it")
    func lifetime() throws {
        var first: BlobFollowHandle? = follower.join(try .sample(size: 100))
        let follow = try #require(first?.follow)
        var second: BlobFollowHandle? = follower.join(try .sample(size: 100))
        first = nil
        #expect(follow.hasReaders)
        #expect(second?.follow === follow)
        second = nil
        #expect(!follow.hasReaders)
        #expect(follower.join(try .sample(size: 100)).follow !== follow, "nobody drives the old one any more")
    }

    @Test("leaving a follow that was replaced doesn't end the one that replaced it")
    func replaced() throws {
        var old: BlobFollowHandle? = follower.join(try .sample(size: 100))
        let new = follower.join(try .sample(size: 101))
        #expect(old != nil)
        old = nil
        #expect(follower.join(try .sample(size: 101)).follow === new.follow)
    }
}
