// SPDX-License-Identifier: Apache-2.0

package import OCI

/// Bytes that can be made again at any offset, so that neither the server nor the test has to keep them.
///
/// Each 4 KiB page begins with its number and goes on with a pattern of the seed: no two pages are alike.
package struct BlobFixture: Sendable, Hashable {
    private static let pageBytes = 4_096
    private static let pattern: [UInt8] = {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        return (0..<2 * pageBytes).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state)
        }
    }()

    package let seed: UInt64
    package let size: Int64

    package init(seed: UInt64, size: Int64) {
        self.seed = seed
        self.size = size
    }

    /// Bytes of the range, which must be inside.
    package func bytes(_ range: Range<Int64>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count + Self.pageBytes)
        var page = range.lowerBound / Int64(Self.pageBytes)
        while page * Int64(Self.pageBytes) < range.upperBound {
            append(page: UInt64(page), to: &bytes)
            page += 1
        }
        let skipped = Int(range.lowerBound % Int64(Self.pageBytes))
        return Array(bytes[skipped..<skipped + range.count])
    }

    package var bytes: [UInt8] { bytes(0..<size) }

    package func digest(_ algorithm: OCI.Digest.Algorithm = .sha256) -> OCI.Digest {
        var hasher = DigestHasher(algorithm)
        var offset: Int64 = 0
        while offset < size {
            let end = min(size, offset + 1_048_576)
            hasher.update(bytes(offset..<end))
            offset = end
        }
        return hasher.finalize()
    }

    private func append(page: UInt64, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: (seed.bigEndian, page.bigEndian)) { bytes.append(contentsOf: $0) }
        let shift = Int((seed &* 31 &+ page) % UInt64(Self.pageBytes))
        bytes.append(contentsOf: Self.pattern[shift..<shift + Self.pageBytes - 16])
    }
}
