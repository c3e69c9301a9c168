// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation

/// A random secret that stands for an account. It is shown once; what is stored is its hash, which needs no salt and no
/// slowness: nobody guesses 256 bits.
package struct SecretToken: Sendable, Hashable {
    /// Tells secret scanners what was found.
    package static let prefix = "entrepot_"
    private static let randomBytes = 32

    package let text: String

    package init() {
        let encoded = RandomBytes.make(Self.randomBytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        text = Self.prefix + encoded
    }

    /// Nil for what can't be one.
    package init?(_ text: String) {
        guard text.hasPrefix(Self.prefix), text.utf8.count == Self.prefix.utf8.count + 43 else { return nil }
        self.text = text
    }

    /// SHA-256.
    package var hash: [UInt8] { Array(SHA256.hash(data: Data(text.utf8))) }
}
