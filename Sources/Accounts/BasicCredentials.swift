// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A name and a secret, as `Basic` carries them (RFC 7617).
package struct BasicCredentials: Sendable {
    package let name: String
    package let secret: String

    /// - Parameter encoded: what follows the scheme; nil for what is no base64 of UTF-8 with a colon in it
    package init?(encoded: some StringProtocol) {
        guard let data = Data(base64Encoded: String(encoded)), let text = String(data: data, encoding: .utf8),
            let colon = text.firstIndex(of: ":")
        else { return nil }
        name = String(text[..<colon])
        secret = String(text[text.index(after: colon)...])
    }
}
