// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import Postgres
import TestSupport
import Testing

@Suite("Job maintenance", .timeLimit(.minutes(2)))
struct JobMaintenanceTests {
    private func maintenance(_ test: TestQueue, _ client: PostgresClient? = nil) -> JobMaintenance {
        let client = client ?? test.client
        let notifier = JobNotifier(client: client, logger: TestQueue.logger)
        return JobMaintenance(client: client, notifier: notifier, logger: TestQueue.logger)
    }

    @Test("rescued jobs are announced to workers, discarded ones to those who wait")
    func announces() async throws {
        try await TestQueue.with { test in
            try await listening(to: [.jobs, .finishedJobs], test.configuration) { heard in
                let again = try await test.enqueue("again")
                let poison = try await test.enqueue("poison")
                _ = try await test.claim()
                try await test.client.query("UPDATE job SET lapses = 2 WHERE id = \(poison.rawValue)")
                for id in [again, poison] { try await test.lapse(id) }
                try await maintenance(test).runOnce()
                let (first, second) = (try await heard.next(), try await heard.next())
                #expect(first.channel == .jobs)
                #expect(first.payload == "manifests")
                #expect(second.channel == .finishedJobs)
                #expect(second.payload == poison.description)
                #expect(try await test.row(again).state == .available)
                let result = try #require(try await test.row(poison).result)
                let verdict = try JSONText.decode(FetchVerdict<ManifestFetched>.self, result)
                #expect(verdict.failure?.cause == .cache)
            }
        }
    }

    @Test("finished jobs are kept for those who wait, then removed")
    func cleans() async throws {
        try await TestQueue.with { test in
            let id = try await test.enqueue()
            let job = try await test.claimOne()
            try await test.queue.complete(job.lease, result: "{}", on: test.client)
            try await maintenance(test).runOnce()
            #expect(try await test.row(id).state == .completed)
            try await test.client.query("UPDATE job SET finalized_at = now() - interval '2 minutes'")
            try await maintenance(test).runOnce()
            #expect(try await test.count("SELECT count(*) FROM job") == 0)
        }
    }

    @Test("maintenance goes on after the database failed it, and ends when told to")
    func outlivesFailures() async throws {
        try await TestQueue.with { test in
            try await test.client.query("ALTER TABLE job RENAME TO job_away")
            try await test.withOwnClient("maintenance") { client in
                var maintenance = maintenance(test, client)
                maintenance.interval = .milliseconds(5)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { [maintenance] in try await maintenance.run() }
                    try await test.untilItHasFailed("maintenance")
                    try await test.client.query("ALTER TABLE job_away RENAME TO job")
                    let id = try await test.enqueue()
                    _ = try await test.claimOne()
                    try await test.lapse(id)
                    try await eventually("it is rescued") { try await test.row(id).state == .available }
                    group.cancelAll()
                    try await group.waitForAll()
                }
            }
        }
    }
}
