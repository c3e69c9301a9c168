// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
package import Models
package import Postgres
package import PullThrough

/// Accounts and the tokens of theirs that are still good, remembered for a moment; a notification makes it forget at once.
package struct AccountDirectory: Sendable {
    package struct Standing: Sendable, Hashable {
        package let account: Account
        package let liveTokens: Set<AccessTokenID>
    }

    private let client: PostgresClient
    private let accounts = AccountStore()
    private let tokens = AccessTokenStore()
    private let cache = BoundedCache<AccountID, Standing>(maximumCost: 20_000, lifetime: .seconds(5))
    private let finding = Coalescer<AccountID, Standing?>()

    package init(client: PostgresClient, hub: ChangeHub) {
        self.client = client
        hub.onChange(of: .accounts) { [cache] id in
            if let id, let id = Int64(id) { cache.remove(AccountID(rawValue: id)) } else { cache.removeAll() }
        }
    }

    package func find(_ id: AccountID) async throws -> Standing? {
        if let standing = cache[id] { return standing }
        let found = try await finding.value(for: id) { try await read(id) }
        if let found { cache.insert(found, for: id) }
        return found
    }

    private func read(_ id: AccountID) async throws -> Standing? {
        guard let account = try await accounts.find(id, on: client) else { return nil }
        return Standing(account: account, liveTokens: try await tokens.live(of: id, on: client))
    }

    /// Whose token it is, unless the account is gone or disabled, or what vouched for it isn't good any more: a robot's or
    /// API's token, or the password of that time. Nil for a token of nobody, too.
    package func find(bearerOf token: RegistryToken) async throws -> Account? {
        guard let id = token.account, var standing = try await find(id) else { return nil }
        if let generation = token.generation, generation > standing.account.passwordGeneration {
            // What is remembered is older than the token, be it that the notification comes later, or never.
            guard let newer = try await read(id) else { return nil }
            standing = newer
            cache.insert(newer, for: id)
        }
        guard standing.account.isEnabled else { return nil }
        let isVouchedFor =
            if let credential = token.credential {
                standing.liveTokens.contains(credential)
            } else {
                // Older programs' tokens say none, and are good for their five minutes, as they are to those programs.
                token.generation.map { $0 == standing.account.passwordGeneration } ?? true
            }
        return isVouchedFor ? standing.account : nil
    }
}
