// SPDX-License-Identifier: Apache-2.0

package import Blobs
package import Models
import OCI
import Synchronization
import Tracing
import Waiting

/// A blob that is on its way, shared by all clients of this process that read it. Readers come and go; they never
/// steer the fetch.
package final class BlobFollow: Sendable {
    /// What a reader may read now.
    package struct Window: Sendable {
        /// Where the bytes are. Another object than before means that the fetch began anew: what was read from the old
        /// one must be compared before more is read from this one.
        package let source: any BlobReader
        /// End (exclusive) of what may be sent.
        package let end: Int64
    }

    /// What a reader waits for.
    private enum Question {
        case window(beyond: Int64)
        /// Proof that upstream has it.
        case beginning
    }

    private enum Phase {
        case asking
        case arriving(any PartialReader, PartialProgress)
        case present(any BlobReader)
        case failed(any Error)
    }

    package let fetch: BlobFetch
    /// Of the request that began it.
    let context = ServiceContext.current
    private let stallDeadline: Duration
    private let readers = Atomic(0)
    private let room: WaitingRoom<Phase, Question, Window>

    /// - Parameter stallDeadline: how long a reader waits for one more byte
    init(fetch: BlobFetch, stallDeadline: Duration) {
        self.fetch = fetch
        self.stallDeadline = stallDeadline
        let sizeBytes = fetch.sizeBytes
        self.room = WaitingRoom(.asking) { Self.answer($0, $1, sizeBytes: sizeBytes) }
    }

    /// Size that the manifest declares.
    package var sizeBytes: Int64 { fetch.sizeBytes }

    /// Waits until bytes beyond the offset may be sent.
    /// - Throws: ``FetchFailure`` when the fetch failed for good or stalls; `CancellationError`.
    package func window(beyond offset: Int64) async throws -> Window {
        do {
            return try await waitUnlessStalled(for: .window(beyond: offset))
        } catch let error as DeadlineExceeded {
            throw FetchFailure(.timeout, "blob \(fetch.digest) stopped at byte \(offset) for \(error.duration)")
        }
    }

    /// Waits until upstream has begun to send; for a blob that is held back as a whole, until it is verified.
    /// - Throws: as ``window(beyond:)``. Nothing has been promised to the client yet, so it can be told the cause.
    package func beginning() async throws {
        do {
            _ = try await waitUnlessStalled(for: .beginning)
        } catch let error as DeadlineExceeded {
            throw FetchFailure(.timeout, "no byte of blob \(fetch.digest) came within \(error.duration)")
        }
    }

    /// A reader that is far ahead of what has arrived waits for other readers' bytes first: as long as any come, the
    /// fetch doesn't stall.
    private func waitUnlessStalled(for question: Question) async throws -> Window {
        while true {
            let before = progress
            do {
                return try await withDeadline(stallDeadline) { [room] in try await room.answer(to: question) }
            } catch let error as DeadlineExceeded {
                guard progress != before else { throw error }
            }
        }
    }

    private var progress: PartialProgress? {
        if case .arriving(_, let progress) = room.state { progress } else { nil }
    }

    /// What a reader is told; nil when it has to wait.
    private static func answer(
        _ question: Question,
        _ phase: Phase,
        sizeBytes: Int64
    ) -> Result<Window, any Error>? {
        switch phase {
        case .asking:
            return nil
        case .arriving(let reader, let progress):
            let end = StreamRules.releasable(
                stored: progress.storedBytes,
                size: sizeBytes,
                isVerified: progress.isVerified
            )
            let isAnswered =
                switch question {
                case .window(beyond: let offset): end > offset
                case .beginning: progress.isVerified || sizeBytes > StreamRules.heldBackBytes
                }
            return isAnswered ? .success(Window(source: reader, end: end)) : nil
        case .present(let reader):
            return .success(Window(source: reader, end: sizeBytes))
        case .failed(let error):
            return .failure(error)
        }
    }

    // MARK: - Readers

    func addReader() { readers.add(1, ordering: .relaxed) }

    /// Returns whether that was the last one.
    func removeReader() -> Bool { readers.subtract(1, ordering: .relaxed).newValue == 0 }

    var hasReaders: Bool { readers.load(ordering: .relaxed) > 0 }

    // MARK: - News from the driver

    func arriving(_ reader: any PartialReader, _ progress: PartialProgress) { enter(.arriving(reader, progress)) }

    func present(_ reader: any BlobReader) { enter(.present(reader)) }

    func failed(_ error: any Error) { enter(.failed(error)) }

    private func enter(_ phase: Phase) { room.update { $0 = phase } }
}
