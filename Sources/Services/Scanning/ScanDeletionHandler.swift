// SPDX-License-Identifier: Apache-2.0

import Clair
import Jobs
import Logging
import Metadata
import Models
import Postgres

/// Has the scanner forget a manifest that is gone here. Doing it twice does no harm, and neither does forgetting one that
/// has come back: its next look at the report finds none and sends it again.
struct ScanDeletionHandler: JobHandler {
    let kind = JobKind.scanDeletion
    let client: PostgresClient
    let clair: ClairClient
    let watch: ScannerWatch
    let logger: Logger
    private let queue = JobQueue()
    private let scans = ScanStore()

    init(client: PostgresClient, clair: ClairClient, watch: ScannerWatch, logger: Logger) {
        self.client = client
        self.clair = clair
        self.watch = watch
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let digest = try JSONText.decode(String.self, job.payload)
        do {
            if try await !scans.isCached(digest, on: client) { try await clair.forget(digest) }
        } catch let failure as ScanFailure {
            logger.warning("scanner can't be told", metadata: ["digest": "\(digest)", "reason": "\(failure)"])
            if case .unreachable = failure { watch.suspect() }
            // It waits in its row: the feeder brings it back.
            let delay = ScanRules.delay(job.attempt, .random(in: 0...1))
            try await client.withTransaction { transaction in
                try await queue.complete(job.lease, result: JSONText.encode("postponed"), on: transaction)
                try await scans.postponeDeletion(of: digest, by: delay, on: transaction)
            }
            return .finished
        }
        try await client.withTransaction { transaction in
            try await queue.complete(job.lease, result: JSONText.encode("forgotten"), on: transaction)
            try await scans.finishDeletion(of: digest, on: transaction)
        }
        return .finished
    }
}
