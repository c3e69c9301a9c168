// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import Models

/// The half of a fetcher's key pair that everybody may have.
package struct SealingPublicKey: Sendable, Hashable {
    /// Names the key: the first half of its SHA-256.
    package let id: String
    package let bytes: [UInt8]

    /// Throws ``SealingError`` for bytes that are no X25519 public key.
    package init(bytes: [UInt8]) throws(SealingError) {
        do { _ = try Curve25519.KeyAgreement.PublicKey(rawRepresentation: bytes) } catch {
            throw SealingError("a sealing key isn't 32 bytes")
        }
        self.bytes = bytes
        id = SHA256.hash(data: bytes).prefix(16).hexadecimal
    }
}

/// The half that only fetchers have, as a file of one line. Never shown.
package struct SealingPrivateKey: Sendable, CustomStringConvertible {
    private static let label = "entrepot-fetcher-key-1"

    package let publicKey: SealingPublicKey
    let key: Curve25519.KeyAgreement.PrivateKey

    /// A new key.
    package init() throws(SealingError) { try self.init(Curve25519.KeyAgreement.PrivateKey()) }

    /// Reads a file's content. Throws ``SealingError``, which doesn't show it.
    package init(fileContent: String) throws(SealingError) {
        let words = fileContent.split { $0.isWhitespace }
        guard words.count == 2, words[0] == Self.label, let bytes = Data(base64Encoded: String(words[1])) else {
            throw SealingError("the file isn't a key that `entrepot key new` made")
        }
        do { try self.init(Curve25519.KeyAgreement.PrivateKey(rawRepresentation: bytes)) } catch {
            throw SealingError("the file's key has the wrong length")
        }
    }

    private init(_ key: Curve25519.KeyAgreement.PrivateKey) throws(SealingError) {
        self.key = key
        publicKey = try SealingPublicKey(bytes: Array(key.publicKey.rawRepresentation))
    }

    package var fileContent: String { "\(Self.label) \(key.rawRepresentation.base64EncodedString())\n" }

    package var description: String { "(private key \(publicKey.id))" }
}

/// What can't be sealed or opened. Holds no secret.
package struct SealingError: Error, CustomStringConvertible, Sendable {
    package let description: String

    init(_ description: String) { self.description = description }
}
