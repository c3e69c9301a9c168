// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Jobs
import Logging
import Models
import OCI
import Postgres
import Synchronization

/// How many jobs a queue takes, and gives, in a second. The database has to be migrated, and nobody else's.
@main
struct JobRates: AsyncParsableCommand {
    @Option(help: "Connection string of the database.")
    var postgres: String

    @Option(help: "How many jobs.")
    var jobs = 2_000

    @Option(help: "Who work at once, each on its connection.")
    var workers = 8

    func run() async throws {
        let logger = Logger(label: "job-rates") { StreamLogHandler.standardError(label: $0) }
        let configuration = PostgresConfiguration(connectionString: postgres, maximumConnections: workers)
        let client = PostgresClient(configuration, logger: logger)
        let id = try await client.query("INSERT INTO organization (name) VALUES ('rates') RETURNING id")
            .decodeFirst(Int64.self)
        let organization = OrganizationID(rawValue: id ?? 0)
        let queue = JobQueue()
        let each = jobs / workers
        let enqueued = try await rate { worker in
            for number in 0..<each {
                let fetch = BlobFetch(
                    organization: organization,
                    upstream: "https://registry.example",
                    repository: try RepositoryName("library/app"),
                    digest: .of("\(worker) \(number)".utf8),
                    sizeBytes: 1_000
                )
                _ = try await queue.enqueue(fetch, on: client)
            }
            return each
        }
        let claimed = try await rate { worker in
            var count = 0
            while true {
                let claimed = try await queue.claim(
                    .blobs,
                    kinds: [.blobFetch],
                    limit: 1,
                    worker: "\(worker)",
                    lease: .seconds(60),
                    ownerShare: 12,
                    on: client
                )
                guard let job = claimed.jobs.first else { return count }
                try await queue.complete(job.lease, result: "{}", on: client)
                count += 1
            }
        }
        await client.close()
        print("{\"enqueued_per_s\": \(enqueued), \"claimed_and_completed_per_s\": \(claimed)}")
    }

    /// Runs the work in each worker; how often it was done in a second.
    private func rate(_ work: @escaping @Sendable (Int) async throws -> Int) async throws -> Int {
        let start = ContinuousClock.now
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in 0..<workers { group.addTask { try await work(worker) } }
            return try await group.reduce(0, +)
        }
        guard total == jobs / workers * workers else { throw ValidationError("\(total) of \(jobs) jobs were there") }
        return Int(Double(total) / ((ContinuousClock.now - start) / .seconds(1)))
    }
}
