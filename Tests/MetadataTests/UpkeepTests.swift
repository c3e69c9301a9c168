// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("What keeps tables small", .timeLimit(.minutes(2)))
struct UpkeepTests {
    private let log = LogStore()

    private static func withDatabase(_ body: (PostgresClient) async throws -> Void) async throws {
        let database = try await PostgresCluster.shared().makeMigratedDatabase()
        try await TestDatabase.withClient(of: database) { client in try await body(client) }
    }

    // MARK: - Partitions of the log

    private func keep(daysAhead: Int, _ client: PostgresClient) async throws -> LogStore.PartitionState {
        try await log.keepPartitions(daysAhead: daysAhead, retention: .seconds(86_400), on: client)
    }

    /// Without the default one.
    private func partitions(_ client: PostgresClient) async throws -> Int? {
        try await client.query("SELECT count(*) - 1 FROM pg_inherits WHERE inhparent = 'log_entry'::regclass")
            .decodeFirst(Int.self)
    }

    @Test("who reads the log is waited for only for a moment, and the partition is made the next time")
    func readers() async throws {
        try await untilDayIsLong()
        try await Self.withDatabase { client in
            try await client.withTransaction { reader in
                try await reader.query("SELECT kind FROM log_entry")
                #expect(try await keep(daysAhead: 1, client) == .overdue)
            }
            #expect(try await keep(daysAhead: 1, client) == .kept)
            #expect(try await partitions(client) == 2)
            try await client.withTransaction { reader in
                try await reader.query("SELECT kind FROM log_entry")
                #expect(try await keep(daysAhead: 2, client) == .postponed, "there is time until then")
            }
            try await client.query(
                """
                CREATE TABLE log_entry_20200101 PARTITION OF log_entry
                    FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')
                """
            )
            try await client.withTransaction { reader in
                try await reader.query("SELECT kind FROM log_entry")
                #expect(try await keep(daysAhead: 1, client) == .postponed, "an old one can stay for a while")
            }
            #expect(try await keep(daysAhead: 1, client) == .kept)
            #expect(try await partitions(client) == 2)
        }
    }

    @Test("partitions are made beside entries that are being written")
    func writers() async throws {
        try await untilDayIsLong()
        try await Self.withDatabase { client in
            #expect(try await keep(daysAhead: 1, client) == .kept)
            try await client.withTransaction { writer in
                try await log.append([LogEntry(.failedLogin)], on: writer)
                #expect(try await keep(daysAhead: 3, client) == .kept)
            }
            #expect(try await partitions(client) == 4)
        }
    }

    @Test("an entry that is on its way when today's partition is made arrives")
    func firstStart() async throws {
        try await Self.withDatabase { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<50 { try await log.append([LogEntry(.failedLogin)], on: client) }
                    }
                }
                try await eventually("they are made") { try await keep(daysAhead: 1, client) == .kept }
                try await group.waitForAll()
            }
            let count = try await client.query("SELECT count(*) FROM log_entry").decodeFirst(Int.self)
            #expect(count == 200)
        }
    }

    @Test("a day that began without a partition has none, the next ones have, and old entries go without one")
    func early() async throws {
        try await untilDayIsLong()
        try await Self.withDatabase { client in
            try await log.append([LogEntry(.failedLogin)], on: client)
            try await client.query("INSERT INTO log_entry (kind, at) VALUES ('pull', '2020-01-01 12:00+00')")
            #expect(try await keep(daysAhead: 2, client) == .kept)
            #expect(try await partitions(client) == 2)
            #expect(try await log.read(LogStore.Filter(), on: client).map(\.kind) == [LogKind.failedLogin.rawValue])
        }
    }

    // MARK: - Lists of referrers

    private func store(_ descriptors: [Descriptor], of subject: Digest, _ stores: Stores) async throws {
        try await stores.client.withTransaction { transaction in
            try await stores.lists.storeReferrers(
                descriptors,
                of: subject,
                repository: stores.repository(),
                organization: stores.organization,
                generation: 1,
                on: transaction
            )
        }
    }

    private func stored(_ subject: Digest, _ stores: Stores) async throws -> [Descriptor]? {
        try await stores.lists.upstreamReferrers(
            of: subject,
            repository: stores.repository(),
            organization: stores.organization,
            generation: 1,
            on: stores.client
        )?.elements
    }

    private static let attached = Descriptor(mediaType: .ociManifest, digest: .of([1]), size: 1)

    @Test("that nothing is attached is stored of what the repository has, and of no made-up digest")
    func emptyLists() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            let madeUp = Digest.of(Array(UUID().uuidString.utf8))
            try await stores.store(image)
            try await store([], of: image.digest, stores)
            #expect(try await stored(image.digest, stores) == [])
            try await store([], of: madeUp, stores)
            #expect(try await stored(madeUp, stores) == nil)
            try await store([Self.attached], of: madeUp, stores)
            #expect(try await stored(madeUp, stores) == [Self.attached])
            try await store([], of: madeUp, stores)
            #expect(try await stored(madeUp, stores) == nil, "what was told before isn't true any more")
        }
    }

    @Test("lists that upstream told long ago go, some at a time")
    func oldLists() async throws {
        try await Self.withDatabase { client in
            let stores = Stores(client: client, organization: try await Stores.makeOrganization(on: client))
            let subjects = (UInt8(0)..<6).map { Digest.of([$0]) }
            for subject in subjects { try await store([Self.attached], of: subject, stores) }
            try await client.query(
                """
                UPDATE referrer_list SET checked_at = now() - interval '15 days'
                WHERE subject_digest <> \(subjects[0].description)
                """
            )
            var limits = CollectionStore.Limits()
            limits.batch = 3
            #expect(try await CollectionStore().dropReferrerLists(limits, on: client) == 3)
            #expect(try await CollectionStore().dropReferrerLists(limits, on: client) == 2)
            #expect(try await CollectionStore().dropReferrerLists(limits, on: client) == 0)
            #expect(try await stored(subjects[0], stores) == [Self.attached])
        }
    }

    @Test("a list that may stand in for its upstream stays with what it is about, and no longer than it may")
    func listsThatStandIn() async throws {
        try await Self.withDatabase { client in
            let stores = Stores(client: client, organization: try await Stores.makeOrganization(on: client))
            let image = ImageFixture.unique()
            try await stores.store(image)
            for subject in [image.digest, Digest.of([1])] {
                try await store([Self.attached], of: subject, stores)
            }
            func left(_ expiration: Int?, _ staleness: Int?) async throws -> Int {
                try await client.query(
                    """
                    UPDATE proxy_cache_config SET expiration_s = \(expiration), staleness_s = \(staleness)
                    WHERE organization_id = \(stores.organization.rawValue)
                    """
                )
                _ = try await CollectionStore().dropReferrerLists(CollectionStore.Limits(), on: client)
                return try await client.query("SELECT 1 FROM referrer_list").count
            }
            try await client.query("UPDATE referrer_list SET checked_at = now() - interval '15 days'")
            #expect(try await left(0, nil) == 1, "nothing is here that the other one is about")
            #expect(try await stored(image.digest, stores) == [Self.attached])
            #expect(try await left(60, 16 * 86_400) == 1)
            #expect(try await left(16 * 86_400, nil) == 1)
            #expect(try await left(60, nil) == 0)
        }
    }

    // MARK: - Garbage

    @Test("garbage is read on after the one that can't be removed, the oldest first")
    func garbage() async throws {
        try await Self.withDatabase { client in
            let digest = Digest.of([1])
            try await client.query(
                """
                INSERT INTO garbage (generation, digest, size_bytes, since)
                SELECT gen_random_uuid(), \(digest.description), 1, now() - interval '1 day' + n / 2 * interval '1 second'
                FROM generate_series(0, 6) AS n
                """
            )
            var limits = CollectionStore.Limits()
            let all = try await CollectionStore().garbage(limits, on: client)
            #expect(all.count == 7)
            for (number, last) in all.enumerated() {
                let rest = try await CollectionStore().garbage(limits, after: last.generation, on: client)
                #expect(rest == Array(all[(number + 1)...]))
            }
            limits.batch = 2
            let some = try await CollectionStore().garbage(limits, after: all[1].generation, on: client)
            #expect(some == Array(all[2..<4]))
            #expect(try await CollectionStore().garbage(limits, after: Generation(), on: client).isEmpty)
        }
    }
}
