// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import PullThrough
import TestSupport
import Testing
import Waiting

/// A partial in memory. How far it has come is told to the follow, not asked here.
final class MemoryPartial: PartialReader {
    let bytes: [UInt8]
    private let error: BlobStorageError?

    init(_ bytes: [UInt8] = [], failing error: BlobStorageError? = nil) {
        self.bytes = bytes
        self.error = error
    }

    var descriptor: Int32? { nil }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        if let error { throw error }
        let part = bytes.dropFirst(Int(offset)).prefix(buffer.count)
        buffer.copyBytes(from: part)
        return part.count
    }

    func progress() throws -> PartialProgress { PartialProgress(storedBytes: Int64(bytes.count), isVerified: false) }
}

extension BlobFetch {
    /// A fetch that nobody carries out.
    static func sample(size: Int64, organization: Int64 = 1) throws -> BlobFetch {
        BlobFetch(
            organization: OrganizationID(rawValue: organization),
            upstream: ProxyCacheConfig.sample.upstream.baseURL,
            repository: try RepositoryName("team/app"),
            digest: BlobFixture(seed: 1, size: 10).digest(),
            sizeBytes: size
        )
    }
}

/// Expects that the body still waits when there was ample time to answer.
func expectWaiting<Result: Sendable>(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable () async throws -> Result
) async {
    await #expect(throws: DeadlineExceeded.self, sourceLocation: sourceLocation) {
        _ = try await withDeadline(.milliseconds(40), body)
    }
}
