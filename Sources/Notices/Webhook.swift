// SPDX-License-Identifier: Apache-2.0

import Crypto
import Models

/// Where an operator has something told.
package struct Webhook: Sendable, Hashable, CustomStringConvertible {
    package let url: String
    /// Signs what is sent, so that the receiver knows who sent it. Nil: nothing is signed.
    package let secret: String?

    package init(url: String, secret: String?) {
        self.url = url
        self.secret = secret
    }

    /// Services are logged as they are made: neither the secret nor what an address may have of one is shown.
    package var description: String { "(webhook)" }

    /// `sha256=` and the hex HMAC-SHA256 (RFC 2104) of the body.
    package func signature(of body: [UInt8]) -> String? {
        guard let secret else { return nil }
        let code = HMAC<SHA256>.authenticationCode(for: body, using: SymmetricKey(data: Array(secret.utf8)))
        return "sha256=" + code.hexadecimal
    }
}
