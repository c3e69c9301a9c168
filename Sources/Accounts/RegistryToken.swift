// SPDX-License-Identifier: Apache-2.0

import Foundation
package import JWTKit
package import Models
package import OCI

/// What a bearer token of the registry says (distribution, "Token Authentication Implementation").
package struct RegistryToken: JWTPayload, Sendable, Hashable {
    /// What it is for.
    package static let service = "entrepot"
    /// Somebody who hasn't logged in.
    package static let anonymous = "(anonymous)"

    package struct Access: Codable, Sendable, Hashable {
        package let type: String
        package let name: String
        package let actions: [String]

        package init(type: String, name: String, actions: [String]) {
            self.type = type
            self.name = name
            self.actions = actions
        }
    }

    package let iss: String
    package let aud: String
    package let sub: String
    package let iat: Int64
    package let nbf: Int64
    package let exp: Int64
    package let jti: String
    package let access: [Access]
    /// Whose it is; nil for somebody who hasn't logged in.
    package let account: AccountID?
    /// The robot's or API's token that it was given for: it dies with that one. Nil for a password.
    package let credential: AccessTokenID?
    /// Of the password that it was given for: it dies with that one. Nil for no password, and in tokens of older programs.
    package let generation: Int?

    /// Whether it was given for pulling from the repository, whatever its bearer may do by now.
    package func allowsPull(from repository: RepositoryName) -> Bool {
        access.contains { $0.type == "repository" && $0.name == repository.rawValue && $0.actions.contains("pull") }
    }

    /// Times and names are checked by ``TokenSigner``, which knows the clock and who it is.
    package func verify(using algorithm: some JWTAlgorithm) {}
}

/// What a client asks a token for: `repository:NAME:ACTION,…` (distribution, "Token Scope Documentation").
package struct TokenScope: Sendable, Hashable {
    package static let maximum = 100

    package let type: String
    package let name: String
    package let actions: Set<String>

    /// Reads the values of all `scope` parameters, which hold one or more each.
    /// - Returns: nil when one of them isn't a scope, or there are too many
    package static func parse(_ values: [String]) -> [TokenScope]? {
        let texts = values.flatMap { $0.split(separator: " ") }
        guard texts.count <= maximum else { return nil }
        var scopes: [TokenScope] = []
        for text in texts {
            // A name may have a port in it, and with it a colon.
            guard let first = text.firstIndex(of: ":"), let last = text.lastIndex(of: ":"), first != last,
                first != text.startIndex
            else { return nil }
            let actions = text[text.index(after: last)...].split(separator: ",").map(String.init)
            let name = String(text[text.index(after: first)..<last])
            guard !name.isEmpty else { return nil }
            scopes.append(TokenScope(type: String(text[..<first]), name: name, actions: Set(actions)))
        }
        return scopes
    }
}
