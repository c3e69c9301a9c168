// SPDX-License-Identifier: Apache-2.0

package import Blobs
import Glibc

/// Decides whether a client that was sent bytes of an abandoned attempt can be served on from the new one.
package enum PrefixComparison {
    private static let chunkBytes = 256 * 1024

    /// Whether both hold the same bytes in the range. Throws ``BlobStorageError``.
    package static func isSame(
        _ left: any BlobReader,
        _ right: any BlobReader,
        in range: Range<Int64>
    ) async throws -> Bool {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = Int(min(Int64(chunkBytes), range.upperBound - offset))
            guard try isSame(left, right, at: offset, count: count) else { return false }
            offset += Int64(count)
            await Task.yield()
        }
        return true
    }

    private static func isSame(
        _ left: any BlobReader,
        _ right: any BlobReader,
        at offset: Int64,
        count: Int
    ) throws -> Bool {
        try withUnsafeTemporaryAllocation(byteCount: 2 * count, alignment: 16) { buffer in
            let first = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            let second = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
            guard try left.read(into: first, at: offset) == count, try right.read(into: second, at: offset) == count,
                let a = first.baseAddress, let b = second.baseAddress
            else { return false }
            return memcmp(a, b, count) == 0
        }
    }
}
