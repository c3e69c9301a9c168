// SPDX-License-Identifier: Apache-2.0

import Blobs
import Jobs
import Logging
import Models
import OCI
import Upstream

/// One partial being filled: as many transfers as it takes, each from where the last one broke off.
struct BlobDownload {
    /// Transfers in all: an upstream that cuts every one of them short isn't served for ever.
    private static let maximumTries = 100
    private static let retry = RetryPolicy(base: .milliseconds(100), cap: .seconds(3))

    let fetch: BlobFetch
    let repository: UpstreamRepository
    let writer: any PartialWriter
    let validator: String?
    /// One transfer, from the offset into the sink.
    let transfer: (BlobStart, any BlobSink) async throws -> Void
    let logger: Logger
    /// Transfers in a row that brought nothing new before we give up.
    var maximumFruitlessTries = 5
    /// Remembers the entity tag, so that another worker can resume with it.
    let remember: (String?) async throws -> Void

    /// Fills the partial and returns the digest of what it holds.
    /// - Throws: ``FetchFailure`` when upstream can't be made to send it, ``BlobStorageError``.
    func run() async throws -> Digest {
        let hasher = PartialHasher(writer, algorithm: fetch.digest.algorithm)
        hasher.advance()
        var validator = validator
        var tries = 0
        var fruitless = 0
        var isAsked = false
        var isSecondChance = false
        var isWithoutRange = false
        // An empty blob is asked for, too: upstream has to have it.
        while writer.storedBytes < fetch.sizeBytes || (fetch.sizeBytes == 0 && !isAsked) {
            let before = writer.storedBytes
            let start = BlobStart(offset: isWithoutRange ? 0 : before, validator: validator)
            let receiver = PartialReceiver(fetch: fetch, writer: writer, hasher: hasher)
            do {
                try await transfer(start, receiver)
                isAsked = true
                guard writer.storedBytes == fetch.sizeBytes else {
                    throw FetchFailure(
                        .upstreamError,
                        "upstream \(repository) ended blob \(fetch.digest) after \(writer.storedBytes) bytes"
                    )
                }
            } catch let failure as FetchFailure {
                tries += 1
                fruitless = writer.storedBytes > before ? 0 : fruitless + 1
                // It isn't to begin at the start for ever; should it refuse a part again, that is a new reason to.
                if writer.storedBytes > before { (isSecondChance, isWithoutRange) = (false, false) }
                if !isSecondChance, isWorthSecondChance(failure, start) {
                    isSecondChance = true
                    // Everything is sent again, and what is stored is passed over.
                    isWithoutRange = start.offset > 0
                } else if !failure.isTemporary || fruitless >= maximumFruitlessTries || tries >= Self.maximumTries {
                    throw failure
                }
                logger.warning(
                    "transfer broke off, resuming",
                    metadata: ["stored": "\(writer.storedBytes)", "reason": "\(failure)"]
                )
                if let tag = receiver.validator, tag != validator {
                    validator = tag
                    try await remember(tag)
                }
                try await Task.sleep(for: Self.retry.delay(afterFailures: fruitless + 1))
            }
        }
        return try await hasher.finish()
    }

    /// Whether upstream should be asked once more in another way: it couldn't send the part that was asked for, or began to
    /// send something of another length, such as a page in the blob's place.
    private func isWorthSecondChance(_ failure: FetchFailure, _ start: BlobStart) -> Bool {
        if start.offset > 0, failure.upstreamStatus == 206 || failure.upstreamStatus == 416 { return true }
        return failure.cause == .badContent && writer.storedBytes < fetch.sizeBytes
    }
}
