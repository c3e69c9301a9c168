// SPDX-License-Identifier: Apache-2.0

/// The content address of a blob or manifest: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits.
///
/// These are the registered algorithms of image-spec "Digests" that a registry has to know; any other is refused, as
/// are upper-case digits, because two spellings of one address would be two objects.
package struct Digest: ValidatedString {
    /// A registered digest algorithm.
    package enum Algorithm: String, Hashable, Sendable, Codable, CaseIterable {
        /// SHA-256, RFC 6234.
        case sha256
        /// SHA-512, RFC 6234.
        case sha512

        /// Number of hexadecimal digits in a digest.
        package var hexLength: Int {
            switch self {
            case .sha256: 64
            case .sha512: 128
            }
        }
    }

    /// The whole digest, `algorithm:hex`.
    package let rawValue: String
    /// The algorithm before the colon.
    package let algorithm: Algorithm

    /// The digits after the colon.
    package var hex: String { String(Substring(rawValue.utf8.dropFirst(algorithm.rawValue.utf8.count + 1))) }

    /// Checks a digest.
    ///
    /// - Throws: ``OCIError`` with code `invalidDigest`.
    package init(_ string: String) throws(OCIError) {
        guard let colon = string.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            throw OCIError(.invalidDigest, "digest \(string.quoted) has no algorithm")
        }
        guard let algorithm = Algorithm(rawValue: String(string[..<colon])) else {
            throw OCIError(.invalidDigest, "digest \(string.quoted) uses an algorithm other than sha256 and sha512")
        }
        let hex = string.utf8[string.utf8.index(after: colon)...]
        guard hex.count == algorithm.hexLength, hex.allSatisfy(\.isLowercaseHexDigit) else {
            throw OCIError(
                .invalidDigest,
                "digest \(string.quoted) does not have \(algorithm.hexLength) lower-case hexadecimal digits"
            )
        }
        rawValue = string
        self.algorithm = algorithm
    }

    /// Made by a hasher, which cannot produce anything else than the right number of bytes.
    init(algorithm: Algorithm, hash: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        var text = Array(algorithm.rawValue.utf8)
        text.reserveCapacity(text.count + 1 + algorithm.hexLength)
        text.append(UInt8(ascii: ":"))
        for byte in hash {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 0x0F)])
        }
        rawValue = String(decoding: text, as: UTF8.self)
        self.algorithm = algorithm
    }

    /// The digest of `bytes`.
    package static func of(_ bytes: some Sequence<UInt8>, algorithm: Algorithm = .sha256) -> Digest {
        var hasher = DigestHasher(algorithm)
        let hashed: Void? = bytes.withContiguousStorageIfAvailable { hasher.update(UnsafeRawBufferPointer($0)) }
        if hashed == nil { hasher.update(Array(bytes)) }
        return hasher.finalize()
    }
}
