// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("The log", .timeLimit(.minutes(2)))
struct LogStoreTests {
    private static func withLog(_ body: (PostgresClient) async throws -> Void) async throws {
        try await TestDatabase.withClient(of: try await PostgresCluster.shared().makeMigratedDatabase()) { client in
            try await body(client)
        }
    }

    private static func partitions(_ client: PostgresClient) async throws -> [String] {
        try await client.query(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'log_entry'::regclass ORDER BY 1"
        ).decode(String.self)
    }

    @Test("each day has its partition, old ones go, and many who keep them don't get in each other's way")
    func partitioning() async throws {
        try await untilDayIsLong()
        try await Self.withLog { client in
            let store = LogStore()
            #expect(try await Self.partitions(client) == ["log_entry_default"])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await store.keepPartitions(daysAhead: 2, retention: .seconds(86_400), on: client)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await Self.partitions(client).count == 4)
            try await store.append([LogEntry(.failedLogin)], on: client)
            let stray = try await client.query("SELECT 1 FROM ONLY log_entry_default")
            #expect(stray.isEmpty, "today has one of its own")
            try await client.query(
                """
                CREATE TABLE log_entry_20200101 PARTITION OF log_entry
                    FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')
                """
            )
            try await store.keepPartitions(daysAhead: 2, retention: .seconds(86_400), on: client)
            let names = try await Self.partitions(client)
            #expect(names.count == 4 && !names.contains("log_entry_20200101"))
        }
    }

    @Test("what is written is read back, newest first, by pages and filters")
    func reading() async throws {
        try await Self.withLog { client in
            let store = LogStore()
            let digest = Digest.of([1])
            let entries = try (0..<25).map { number in
                var entry = LogEntry(number % 5 == 0 ? .failedPull : .pull, repository: "a/b", address: "10.0.0.1")
                entry.account = number % 2 == 0 ? "anna" : nil
                entry.pull = LogEntry.Pull(
                    reference: number % 3 == 0 ? .digest(digest) : .tag(try TagName("v\(number)")),
                    digest: digest,
                    isHead: false,
                    outcome: number % 5 == 0 ? .error : .hit,
                    status: 200,
                    bytes: Int64(number),
                    duration: .microseconds(1_500)
                )
                return entry
            }
            try await store.append(entries, on: client)
            var filter = LogStore.Filter()
            filter.limit = 10
            var bytes: [Int64?] = []
            while true {
                let page = try await store.read(filter, on: client)
                bytes += page.map(\.bytes)
                guard let last = page.last, page.count == 10 else { break }
                filter.before = last.place
            }
            #expect(Set(bytes.compactMap { $0 }) == Set(0..<25) && bytes.count == 25)
            filter = LogStore.Filter()
            filter.account = "anna"
            filter.outcomes = [.error]
            let found = try await store.read(filter, on: client)
            #expect(Set(found.map(\.bytes)) == [0, 10, 20])
            #expect(found.allSatisfy { $0.durationUs == 1_500 && $0.digest == digest.rawValue && $0.isRobot == false })
            filter = LogStore.Filter()
            filter.kinds = [.failedLogin]
            #expect(try await store.read(filter, on: client).isEmpty)
        }
    }
}
