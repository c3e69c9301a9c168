// SPDX-License-Identifier: Apache-2.0

import Blobs
import Logging
import Metadata
import Models
import OCI
import Postgres
import ServiceLifecycle
import Synchronization

/// Tells the database how far this fetcher's partials have come, once a second in one statement: operators who watch
/// don't see the storage.
final class ProgressRecorder: Service {
    private static let interval: Duration = .seconds(1)

    private struct Entry {
        let digest: Digest
        let writer: any PartialWriter
        var noted: (bytes: Int64, at: ContinuousClock.Instant)
        /// A fetch that stands still is told once, at rate zero.
        var rate: Int64?
    }

    private let client: PostgresClient
    private let logger: Logger
    private let blobs = BlobStore()
    private let clock = ContinuousClock()
    private let entries = Mutex<[Generation: Entry]>([:])

    init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// Watches the partial while `body` runs.
    func watching<Result>(
        _ writer: any PartialWriter,
        of digest: Digest,
        _ body: () async throws -> Result
    ) async throws -> Result {
        let entry = Entry(digest: digest, writer: writer, noted: (writer.storedBytes, clock.now))
        entries.withLock { $0[writer.generation] = entry }
        defer { entries.withLock { _ = $0.removeValue(forKey: writer.generation) } }
        return try await body()
    }

    func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                do { try await Task.sleep(for: Self.interval) } catch { return }
                do {
                    try await blobs.note(news(), on: client)
                } catch is CancellationError {
                    return
                } catch {
                    logger.debug("progress not noted", metadata: ["error": "\(error)"])
                }
            }
        }
    }

    /// What has changed since it was last asked for.
    private func news() -> [PartialNote] {
        let now = clock.now
        return entries.withLock { entries in
            var notes: [PartialNote] = []
            for (generation, entry) in entries {
                let bytes = entry.writer.storedBytes
                let seconds = (now - entry.noted.at) / .seconds(1)
                let rate = Int64(Double(max(0, bytes - entry.noted.bytes)) / max(seconds, 0.001))
                entries[generation]?.noted = (bytes, now)
                entries[generation]?.rate = rate
                guard rate > 0 || entry.rate != 0 else { continue }
                notes.append(
                    PartialNote(digest: entry.digest, generation: generation, storedBytes: bytes, bytesPerSecond: rate)
                )
            }
            return notes
        }
    }
}
