// SPDX-License-Identifier: Apache-2.0

import Models
import Postgres
import PullThrough
import TestSupport
import Testing

@Suite("Recording pulls")
struct PullRecorderTests {
    @Test("what is pulled while pulls are written down is left for the next time, or a busy frontend would never end")
    func busy() async throws {
        try await PullBench.with { bench in
            let recorder = PullRecorder(client: bench.client, logger: bench.logger)
            let ids = try await bench.client.query("SELECT repository_id, manifest_id FROM repository_manifest")
                .decodeFirst((Int64, Int64).self)
            let (repository, manifest) = try #require(ids)
            let touch = PullTouch(
                repository: RepositoryID(rawValue: repository),
                manifest: ManifestID(rawValue: manifest),
                tag: nil,
                isRenewing: false
            )
            recorder.record(touch)
            let meanwhile = try await withThrowingTaskGroup(of: Void.self) { group in
                let meanwhile = try await bench.client.withTransaction { transaction in
                    try await transaction.query("SELECT 1 FROM repository_manifest FOR UPDATE")
                    group.addTask { await recorder.flush() }
                    try await eventually("it is being written down") {
                        try await !bench.client.query(
                            """
                            SELECT 1 FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock'
                            """
                        ).isEmpty
                    }
                    let now = try await bench.client.query("SELECT clock_timestamp()::text").decodeFirst(String.self)
                    recorder.record(touch)
                    return now
                }
                try await group.waitForAll()
                return meanwhile
            }
            func isSecondWritten() async throws -> Bool? {
                try await bench.client.query(
                    "SELECT last_pulled_at > \(meanwhile)::timestamptz FROM repository_manifest"
                ).decodeFirst(Bool.self)
            }
            #expect(try await isSecondWritten() == false)
            await recorder.flush()
            #expect(try await isSecondWritten() == true)
        }
    }
}
