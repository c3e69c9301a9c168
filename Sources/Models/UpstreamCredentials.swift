// SPDX-License-Identifier: Apache-2.0

/// User name and password at an upstream. Never shown, whatever prints it.
package struct UpstreamCredentials: Hashable, Sendable, Codable, CustomStringConvertible, CustomReflectable {
    package let username: String
    package let password: String

    /// Throws ``ModelError`` for what can't be sent (RFC 7617 section 2): a user name that is empty or has a colon or
    /// control characters, a password that is empty or has control characters.
    package init(username: String, password: String) throws(ModelError) {
        func isSendable(_ text: String) -> Bool {
            !text.isEmpty && text.utf8.count <= 65_536
                && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        }
        guard isSendable(username), !username.contains(":") else {
            throw ModelError("user name: must not be empty nor contain colons or control characters")
        }
        guard isSendable(password) else {
            throw ModelError("password: must not be empty nor contain control characters")
        }
        self.username = username
        self.password = password
    }

    package var description: String { "(credentials)" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Credentials that only a holder of the private key can read.
package struct SealedCredentials: Hashable, Sendable, Codable {
    package let bytes: [UInt8]
    /// Of the public key that they are sealed to.
    package let keyID: String

    package init(bytes: [UInt8], keyID: String) {
        self.bytes = bytes
        self.keyID = keyID
    }
}
