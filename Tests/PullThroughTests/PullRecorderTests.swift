// SPDX-License-Identifier: Apache-2.0

import Logging
import Models
import Postgres
import PullThrough
import TestSupport
import Testing

/// Gives on what is logged.
private struct Lines: LogHandler {
    let feed: AsyncStream<String>.Continuation
    var logLevel = Logger.Level.debug
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { feed.yield(event.message.description) }
}

@Suite("Recording pulls")
struct PullRecorderTests {
    @Test("a recorder that ends waits for rows that somebody else changes, and loses nothing")
    func lastOnes() async throws {
        try await PullBench.with { bench in
            let (lines, feed) = AsyncStream<String>.makeStream()
            let logger = Logger(label: "recorder") { _ in Lines(feed: feed) }
            let recorder = PullRecorder(client: bench.client, logger: logger, lastAttempts: 1_000)
            recorder.record(try await touch(bench))
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await bench.client.withTransaction { transaction in
                    try await transaction.query("SELECT 1 FROM repository_manifest FOR UPDATE")
                    group.addTask { try await recorder.run() }
                    group.cancelAll()
                    for await line in lines where line.contains("not recorded yet") { break }
                }
                try await group.waitForAll()
            }
            let isWritten = try await bench.client.query("SELECT last_pulled_at IS NOT NULL FROM repository_manifest")
                .decodeFirst(Bool.self)
            #expect(isWritten == true)
        }
    }

    private func touch(_ bench: PullBench) async throws -> PullTouch {
        let ids = try await bench.client.query("SELECT repository_id, manifest_id FROM repository_manifest")
            .decodeFirst((Int64, Int64).self)
        let (repository, manifest) = try #require(ids)
        return PullTouch(
            repository: RepositoryID(rawValue: repository),
            manifest: ManifestID(rawValue: manifest),
            tag: nil,
            isRenewing: true
        )
    }

    @Test("what is pulled while pulls are written down is left for the next time, or a busy frontend would never end")
    func busy() async throws {
        try await PullBench.with { bench in
            let recorder = PullRecorder(client: bench.client, logger: bench.logger)
            let touch = try await touch(bench)
            recorder.record(touch)
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await bench.client.withTransaction { transaction in
                    // Not of a row, which it would give up soon.
                    try await transaction.query("LOCK TABLE repository_manifest IN ACCESS EXCLUSIVE MODE")
                    group.addTask { await recorder.flush() }
                    try await eventually("it is being written down") {
                        try await !bench.client.query(
                            """
                            SELECT 1 FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock'
                            """
                        ).isEmpty
                    }
                    recorder.record(touch)
                }
                try await group.waitForAll()
            }
            func isWritten() async throws -> Bool? {
                try await bench.client.query("SELECT last_pulled_at IS NOT NULL FROM repository_manifest")
                    .decodeFirst(Bool.self)
            }
            #expect(try await isWritten() == true)
            try await bench.client.query("UPDATE repository_manifest SET last_pulled_at = NULL")
            await recorder.flush()
            #expect(try await isWritten() == true, "the second was left for this time")
        }
    }
}
