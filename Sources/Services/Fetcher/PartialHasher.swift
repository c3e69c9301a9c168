// SPDX-License-Identifier: Apache-2.0

import Blobs
import Dispatch
import OCI
import Synchronization

/// Hashes a partial from its start while it grows, on a thread of its own beside the one that receives.
///
/// It reads what was just written, which is still in memory. A partial taken over from a dead worker needs no extra
/// step: hashing always begins at byte 0.
final class PartialHasher: Sendable {
    private static let chunkBytes = 256 * 1024

    private struct State {
        var hasher: DigestHasher
        var hashedBytes: Int64 = 0
        var error: (any Error)?
    }

    private let source: any PartialWriter
    private let queue = DispatchQueue(label: "entrepot.hasher")
    private let isScheduled = Atomic(false)
    /// Touched on the queue only, one block at a time; the mutex is never contended.
    private let state: Mutex<State>

    init(_ source: any PartialWriter, algorithm: Digest.Algorithm) {
        self.source = source
        self.state = Mutex(State(hasher: DigestHasher(algorithm)))
    }

    /// Says that there is more. Returns at once.
    func advance() {
        guard !isScheduled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        queue.async { [self] in catchUp() }
    }

    /// Waits until everything stored is hashed. Throws ``BlobStorageError`` when the partial can't be read.
    func finish() async throws -> Digest {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [self] in
                catchUp()
                continuation.resume(
                    with: Result {
                        try state.withLock { state in
                            if let error = state.error { throw error }
                            return state.hasher.finalize()
                        }
                    }
                )
            }
        }
    }

    private func catchUp() {
        // Reset before the work: bytes that arrive from here on schedule another round.
        isScheduled.store(false, ordering: .releasing)
        state.withLock { state in
            do {
                try withUnsafeTemporaryAllocation(byteCount: Self.chunkBytes, alignment: 64) { buffer in
                    while state.hashedBytes < source.storedBytes {
                        let wanted = Int(min(Int64(Self.chunkBytes), source.storedBytes - state.hashedBytes))
                        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
                        let count = try source.read(into: part, at: state.hashedBytes)
                        guard count > 0 else { break }
                        state.hasher.update(UnsafeRawBufferPointer(rebasing: part[..<count]))
                        state.hashedBytes += Int64(count)
                    }
                }
            } catch {
                state.error = error
            }
        }
    }
}
