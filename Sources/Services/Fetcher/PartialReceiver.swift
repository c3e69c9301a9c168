// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import Synchronization
import Upstream

/// Writes a blob's bytes into its partial as they come, never more than the manifest declares.
final class PartialReceiver: BlobSink {
    private struct State {
        /// Bytes still to be passed over: upstream began before the end of what is stored.
        var skip: Int64 = 0
        var validator: String?
    }

    private let fetch: BlobFetch
    private let writer: any PartialWriter
    private let hasher: PartialHasher
    private let state = Mutex(State())

    init(fetch: BlobFetch, writer: any PartialWriter, hasher: PartialHasher) {
        self.fetch = fetch
        self.writer = writer
        self.hasher = hasher
    }

    /// Entity tag of the last transfer.
    var validator: String? { state.withLock { $0.validator } }

    /// An upstream that ignores Range, or says that the representation changed, sends everything again. What is stored
    /// is passed over then, and stays good for the clients that have it: the digest decides in the end.
    func begin(_ transfer: BlobTransfer) throws {
        if let total = transfer.totalBytes, total != fetch.sizeBytes {
            throw FetchFailure(
                .badContent,
                "upstream has \(total) bytes under \(fetch.digest), the manifest says \(fetch.sizeBytes)"
            )
        }
        state.withLock { state in
            state.skip = writer.storedBytes - transfer.offset
            state.validator = transfer.validator
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        let skipped = state.withLock { state in
            let skipped = Int(min(state.skip, Int64(bytes.count)))
            state.skip -= Int64(skipped)
            return skipped
        }
        guard skipped < bytes.count else { return }
        let fresh = UnsafeRawBufferPointer(rebasing: bytes[skipped...])
        let room = Int(clamping: fetch.sizeBytes - writer.storedBytes)
        // What fits is stored even if there is too much: a full partial that isn't the blob is begun anew.
        try writer.append(UnsafeRawBufferPointer(rebasing: fresh.prefix(room)))
        hasher.advance()
        guard fresh.count <= room else {
            throw FetchFailure(
                .badContent,
                "upstream sends more than the \(fetch.sizeBytes) bytes that the manifest says for \(fetch.digest)"
            )
        }
    }
}
