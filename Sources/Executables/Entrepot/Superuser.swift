// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import Metadata
import Models
import Postgres
import Supervision

/// The account that may do everything.
enum Superuser {
    private static let name = "admin"

    /// Makes it when there is none.
    /// - Parameter password: nil for a random one
    /// - Returns: the password that was made up
    static func ensure(password: String?, on client: PostgresClient) async throws -> String? {
        let accounts = AccountStore()
        guard try await !accounts.hasSuperuser(on: client) else { return nil }
        let chosen = password ?? UUID().uuidString.lowercased()
        let hash = try PasswordHash(of: chosen).description
        let made = try await accounts.makeUser(try AccountName(name), passwordHash: hash, isSuperuser: true, on: client)
        guard made != nil else { throw SupervisionError("account \(name) exists and is no superuser") }
        return password == nil ? chosen : nil
    }
}
