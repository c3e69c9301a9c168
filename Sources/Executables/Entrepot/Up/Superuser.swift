// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import Metadata
import Models
import Postgres
import ServiceRuntime
import Supervision

/// The account that may do everything.
enum Superuser {
    private static let name = "admin"

    /// The password that the first one is to have; nil for a random one. Throws ``SettingsError``.
    static func password(_ settings: SettingsReader) throws -> String? {
        let password = try settings.secret(UpSettings.adminPassword)
        guard password.isEmpty || PasswordHash.lengths.contains(password.utf8.count) else {
            throw settings.invalid(UpSettings.adminPassword, "", "expected \(PasswordHash.lengths) bytes")
        }
        return password.isEmpty ? nil : password
    }

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

    /// Keeps a login in the file with which commands beside an `entrepot up` act: a token that is still good stays.
    static func keepLogin(in file: String, url: String, on client: PostgresClient) async throws {
        let tokens = AccessTokenStore()
        var token = try Login.read(file).flatMap { SecretToken($0.token) }
        if let known = token, try await tokens.find(hash: known.hash, on: client) == nil { token = nil }
        if token == nil {
            guard let account = try await AccountStore().anySuperuser(on: client) else {
                throw SupervisionError("no superuser is enabled, for whom commands could act")
            }
            let made = SecretToken()
            _ = try await tokens.make(
                "operator of \(ProcessInfo.processInfo.hostName)",
                hash: made.hash,
                scopes: [Authenticator.pullScope, Authenticator.managementScope],
                of: account,
                lifetime: nil,
                on: client
            )
            token = made
        }
        if let token { try Login(url: url, token: token.text).write(file) }
    }
}
