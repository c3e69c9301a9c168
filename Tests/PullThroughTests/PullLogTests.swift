// SPDX-License-Identifier: Apache-2.0

import Models
import Postgres
import PullThrough
import TestSupport
import Testing

@Suite("Writing the log")
struct PullLogTests {
    /// Appends some hundred entries a second until a while has passed; returns how many, and how long it took until all were
    /// written.
    private func fill(_ bench: PullBench, isStrict: Bool, for time: Duration) async throws -> (Int, Duration) {
        var configuration = PullLog.Configuration()
        configuration.isStrict = isStrict
        let log = PullLog(configuration, client: bench.client, logger: bench.logger)
        let clock = ContinuousClock()
        let start = clock.now
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await log.run() }
            var count = 0
            repeat {
                try await log.append(LogEntry(.pull, repository: "app"))
                count += 1
                try await Task.sleep(for: .milliseconds(1))
            } while clock.now - start < time
            group.cancelAll()
            try await group.waitForAll()
            return (count, clock.now - start)
        }
    }

    private func written(_ bench: PullBench) async throws -> (entries: Int, batches: Int) {
        let counts = try await bench.client.query("SELECT count(*), count(DISTINCT xmin::text) FROM log_entry")
            .decodeFirst((Int, Int).self)
        let (entries, batches) = try #require(counts)
        return (entries, batches)
    }

    @Test("relaxed, entries gather before each batch, however busy it is; what is left at the end is written, too")
    func relaxed() async throws {
        try await PullBench.with { bench in
            let (count, time) = try await fill(bench, isStrict: false, for: .milliseconds(700))
            let (entries, batches) = try await written(bench)
            #expect(entries == count)
            // A pause of 50 ms before each but full ones of 1,000 and the last.
            #expect(batches <= Int(time / .milliseconds(50)) + count / 1_000 + 1, "\(count) entries")
        }
    }

    @Test("strict, each entry is there when its caller goes on")
    func strict() async throws {
        try await PullBench.with { bench in
            let (count, _) = try await fill(bench, isStrict: true, for: .milliseconds(200))
            let (entries, batches) = try await written(bench)
            #expect(entries == count && batches == count, "one caller, one entry at a time")
        }
    }
}
