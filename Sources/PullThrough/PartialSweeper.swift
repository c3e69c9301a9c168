// SPDX-License-Identifier: Apache-2.0

package import Blobs
import Jobs
package import Logging
import Metadata
import Models
package import Postgres
import ServiceLifecycle

/// Removes partials that nobody will finish: those that no row speaks of, and those that nobody came back to.
package struct PartialSweeper: Service {
    package var interval: Duration = .seconds(60)
    /// A partial without a row was replaced, or is about to get one.
    package var orphanAge: Duration = .seconds(60)
    /// A fetch that failed may be asked for again, and goes on from here then.
    package var leftoverAge: Duration = .seconds(3_600)

    private let client: PostgresClient
    private let storage: any BlobStorage
    private let logger: Logger
    private let blobs = BlobStore()

    package init(client: PostgresClient, storage: any BlobStorage, logger: Logger) {
        self.client = client
        self.storage = storage
        self.logger = logger
    }

    package func run() async throws {
        try await RepeatedWork("sweeping partials", every: interval, logger: logger) { try await runOnce() }.run()
    }

    package func runOnce() async throws {
        var failures: [BlobStorageError] = []
        // The second look tells what neither can see.
        let old = try storage.abandonedPartials(unchangedFor: leftoverAge) { _ in }
        let orphans = try storage.abandonedPartials(unchangedFor: orphanAge) { failures.append($0) }
        let known = try await blobs.known(partials: orphans.map(\.generation), on: client)
        for partial in Set(old + orphans.filter { !known.contains($0.generation) }) {
            do {
                guard try storage.remove(partial) else { continue }
                logger.info("partial removed", metadata: ["digest": "\(partial.digest)"])
            } catch let error as BlobStorageError {
                failures.append(error)
            }
        }
        logger.report(failures, as: "partials can't be removed")
    }
}
