// SPDX-License-Identifier: Apache-2.0

import Crypto

/// Hashes bytes as they arrive. A value: a copy goes on independently, and ``finalize()`` leaves the hasher usable.
package struct DigestHasher: Sendable {
    /// The algorithm of the digest to come.
    package let algorithm: Digest.Algorithm

    // One of the two is set. Two optionals instead of an enum with payloads, because they are updated in place:
    // taking a payload out and putting it back would copy the hash state for every piece of a blob.
    private var sha256: SHA256?
    private var sha512: SHA512?

    /// Starts with no bytes.
    package init(_ algorithm: Digest.Algorithm = .sha256) {
        self.algorithm = algorithm
        switch algorithm {
        case .sha256: sha256 = SHA256()
        case .sha512: sha512 = SHA512()
        }
    }

    /// Adds the bytes of a buffer, which is read before the call returns.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        sha256?.update(bufferPointer: bytes)
        sha512?.update(bufferPointer: bytes)
    }

    /// Adds bytes.
    package mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The digest of everything added so far.
    package func finalize() -> Digest {
        if let sha512 { return Digest(algorithm: .sha512, hash: sha512.finalize()) }
        return Digest(algorithm: .sha256, hash: (sha256 ?? SHA256()).finalize())
    }
}
