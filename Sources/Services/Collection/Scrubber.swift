// SPDX-License-Identifier: Apache-2.0

package import Blobs
package import Logging
import Metadata
package import Models
import OCI
package import Postgres

/// Reads stored objects again, slowly, and compares them with their digests. One that is wrong is put aside and told
/// absent, so that the next pull fetches it again.
package struct Scrubber: Sendable {
    package enum Verdict: Sendable, Hashable {
        case right, damaged, missing
    }

    private static let pieceBytes = 1_048_576

    private let client: PostgresClient
    private let storage: any BlobInventory
    private let bytesPerSecond: Int
    private let interval: Duration
    private let logger: Logger
    private let store = ScrubStore()
    private let blobs = BlobStore()
    private let totals = CollectionStore()

    /// - Parameters:
    ///   - bytesPerSecond: how fast it reads at most
    ///   - interval: how long an object that was found right is left alone
    package init(
        client: PostgresClient,
        storage: any BlobInventory,
        bytesPerSecond: Int,
        interval: Duration,
        logger: Logger
    ) {
        self.client = client
        self.storage = storage
        self.bytesPerSecond = bytesPerSecond
        self.interval = interval
        self.logger = logger
    }

    /// Reads what is due, one object after the other.
    package func scrub() async throws {
        while let placement = try await store.next(readBefore: interval, on: client) {
            try Task.checkCancellation()
            let verdict = try await read(placement)
            switch verdict {
            case .right:
                try await totals.add(.init(.scrubbed, items: 1, bytes: placement.sizeBytes), on: client)
            case .damaged, .missing:
                try await heal(placement, verdict)
            }
        }
    }

    private func heal(_ placement: BlobPlacement, _ verdict: Verdict) async throws {
        logger.error("stored blob is \(verdict)", metadata: ["digest": "\(placement.digest)"])
        // First nobody is led to it any more, then it is put aside.
        try await blobs.unplace(placement, on: client)
        if verdict == .damaged {
            let storage = storage
            try await BlockingIO.run { try storage.quarantine(placement) }
        }
        try await totals.add(.init(verdict == .damaged ? .damaged : .lost, items: 1), on: client)
    }

    /// - Throws: ``BlobStorageError`` for a device that fails, `CancellationError`
    package func read(_ placement: BlobPlacement) async throws -> Verdict {
        let reader: any BlobReader
        do {
            reader = try storage.open(placement)
        } catch let error as BlobStorageError {
            switch error.code {
            case .missing: return .missing
            case .damaged: return .damaged
            default: throw error
            }
        }
        let clock = ContinuousClock()
        var hasher = DigestHasher(placement.digest.algorithm)
        var offset: Int64 = 0
        while offset < placement.sizeBytes {
            let start = clock.now
            let (from, sofar) = (offset, hasher)
            let (count, next) = try await BlockingIO.run {
                var hasher = sofar
                let count = try withUnsafeTemporaryAllocation(byteCount: Self.pieceBytes, alignment: 16) { buffer in
                    let count = try reader.read(into: buffer, at: from)
                    hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    return count
                }
                return (count, hasher)
            }
            guard count > 0 else { return .damaged }
            hasher = next
            offset += Int64(count)
            let due = start + .seconds(Double(count) / Double(bytesPerSecond))
            if due > clock.now { try await clock.sleep(until: due) }
        }
        return hasher.finalize() == placement.digest ? .right : .damaged
    }
}
