// SPDX-License-Identifier: Apache-2.0

/// How much of an arriving blob may go out to clients.
package enum StreamRules {
    /// Bytes at the end that wait for the digest, so that no client ever holds a complete blob that is wrong.
    package static let heldBackBytes: Int64 = 64 * 1024

    /// End (exclusive) of the part that may be sent.
    /// - Parameters:
    ///   - stored: bytes that have arrived
    ///   - size: size that the manifest declares
    package static func releasable(stored: Int64, size: Int64, isVerified: Bool) -> Int64 {
        if isVerified { return min(stored, size) }
        return max(0, min(stored, size - min(size, heldBackBytes)))
    }
}
