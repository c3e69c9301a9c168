// SPDX-License-Identifier: Apache-2.0

import Accounts
import Metadata
import Models

/// A token in answers, in the fields of the model's application tokens.
struct TokenView: Encodable {
    /// Of one account, in a list; the oldest ones are left out.
    static let maximum = 1_000

    static let schema = [
        Schema.has("uuid", .text()), Schema.has("title", .text()), Schema.has("scopes", .list(.text())),
        Schema.has("created", .text()), Schema.has("last_accessed", .nullable(.text())),
        Schema.has("expiration", .nullable(.text())),
    ]
    static let newSchema = schema + [Schema.has("token_code", .text(), "The token itself, shown this once.")]

    let uuid: String
    let title: String
    let scopes: [String]
    let created: String
    @Nullable var last_accessed: String?
    @Nullable var expiration: String?
    let token_code: String?

    init(_ token: AccessTokenSummary, secret: SecretToken? = nil) {
        uuid = token.id.description
        title = token.name
        scopes = token.scopes
        created = APITime.text(token.createdAt)
        last_accessed = token.lastUsedAt.map(APITime.text)
        expiration = token.expiresAt.map(APITime.text)
        token_code = secret?.text
    }
}
