// SPDX-License-Identifier: Apache-2.0

import Crypto
import Dispatch
import Foundation
package import Logging
import Metadata
package import Models
package import Postgres
import PullThrough
import ServiceLifecycle
import Synchronization

/// Checks names and secrets that clients send.
package final class Authenticator: Service {
    package enum Outcome: Sendable, Hashable {
        /// - credential: the token that was sent in place of a password
        case accepted(Account, credential: AccessTokenID?)
        case refused
        /// Too many failures, or too much to do: nothing was checked. Worth another try after so many seconds, 1 at least.
        case throttled(retryAfterSeconds: Int)
    }

    /// What somebody wants to do.
    package enum Purpose: Sendable {
        case pull, management
    }

    /// Scope of tokens that may pull.
    package static let pullScope = "repo:read"
    /// Scope of tokens that may manage whatever their account may.
    package static let managementScope = "org:admin"
    /// User name that goes with any account's token.
    private static let anyName = "$oauthtoken"
    /// Hashing takes a core and 32 MiB: it is done one at a time, and not for more than these.
    private static let maximumWaiting = 32
    private static let sweepInterval: Duration = .seconds(60)

    private let client: PostgresClient
    private let logger: Logger
    private let accounts = AccountStore()
    private let tokens = AccessTokenStore()
    private let throttle = LoginThrottleStore()
    private let log = LogStore()
    private let queue = DispatchQueue(label: "entrepot.password-hashing")
    private let waiting = Atomic(0)
    /// What was verified a moment ago; the key holds the stored hash, so that a new password ends it.
    private let verified = BoundedCache<[UInt8], Bool>(maximumCost: 10_000, lifetime: .seconds(60))
    /// Nobody's: hashed when there is no account of a name, so that the time tells nothing.
    private let decoy = Mutex<PasswordHash?>(nil)

    package init(client: PostgresClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// Forgets old failures until cancelled: guessed names would be rows without end.
    package func run() async throws {
        while !Task.isCancelled {
            do { try await throttle.sweep(on: client) } catch is CancellationError { return } catch {
                logger.warning("failed logins can't be forgotten", metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: Self.sweepInterval) } catch { return }
        }
    }

    /// Checks a name and a password, or a token in the password's place.
    /// - Parameter address: of the client, for throttling
    /// - Throws: ``PostgresError``, ``AccountsError``
    package func login(
        _ name: String,
        _ secret: String,
        from address: String,
        for purpose: Purpose = .pull
    ) async throws -> Outcome {
        if let token = SecretToken(secret) {
            if let (account, credential) = try await find(token, name: name, purpose) {
                return .accepted(account, credential: credential)
            }
            return try await refusal(of: name, address) { false } ?? .refused
        }
        guard let name = AccountName(rawValue: name), PasswordHash.lengths.contains(secret.utf8.count) else {
            return try await refusal(of: name, address) { false } ?? .refused
        }
        let account = try await accounts.find(name, on: client)
        var stored: PasswordHash?
        if let account {
            stored = try await accounts.passwordHash(of: account.id, on: client).flatMap(PasswordHash.init)
        }
        if let account, let stored, account.isEnabled, verified[Self.key(stored, secret)] == true {
            return .accepted(account, credential: nil)
        }
        let hash = stored
        let refusal = try await refusal(of: name.rawValue, address) { [self] in
            let isRight = try await matches(hash, secret)
            return isRight && account?.isEnabled == true
        }
        if let refusal { return refusal }
        guard let account, let stored else { return .refused }
        verified.insert(true, for: Self.key(stored, secret))
        try await accounts.noteLogin(account.id, on: client)
        return .accepted(account, credential: nil)
    }

    /// Checks a token alone.
    package func login(token text: String, from address: String, for purpose: Purpose) async throws -> Outcome {
        try await login(Self.anyName, text, from: address, for: purpose)
    }

    private func find(
        _ token: SecretToken,
        name: String,
        _ purpose: Purpose
    ) async throws -> (Account, AccessTokenID)? {
        let scope = purpose == .pull ? Self.pullScope : Self.managementScope
        guard let found = try await tokens.find(hash: token.hash, on: client), found.scopes.contains(scope),
            let account = try await accounts.find(found.account, on: client), account.isEnabled,
            name == account.name.rawValue || name == Self.anyName
        else { return nil }
        try await tokens.noteUse(found.token, on: client)
        return (account, found.token)
    }

    /// Why somebody isn't let in; nil when the check says that they are right. It isn't run when there were too many
    /// failures before, and one more is counted when it says no.
    private func refusal(
        of name: String,
        _ address: String,
        unless isRight: () async throws -> Bool
    ) async throws -> Outcome? {
        let keys = ["account:\(name.prefix(255))", "address:\(address)"]
        let block = try await throttle.block(of: keys, on: client)
        guard block == .zero else {
            return .throttled(retryAfterSeconds: Int(block.components.seconds) + 1)
        }
        do {
            if try await isRight() {
                try await throttle.forget(keys[0], on: client)
                return nil
            }
        } catch is TooBusy {
            return .throttled(retryAfterSeconds: 2)
        }
        logger.notice("login failed", metadata: ["account": "\(name.prefix(255))", "address": "\(address)"])
        let entry = LogEntry(.failedLogin, address: address, metadata: ["account": String(name.prefix(255))])
        try await log.append([entry], on: client)
        let failures = try await throttle.fail(keys, on: client)
        for (key, forgiven) in zip(keys, [ThrottleRules.forgiven.account, ThrottleRules.forgiven.address]) {
            let block = ThrottleRules.block(afterFailures: failures[key] ?? 0, forgiven: forgiven)
            if block > .zero { try await throttle.setBlock(block, of: key, on: client) }
        }
        return .refused
    }

    private struct TooBusy: Error {}

    private func matches(_ stored: PasswordHash?, _ password: String) async throws -> Bool {
        guard waiting.add(1, ordering: .relaxed).newValue <= Self.maximumWaiting else {
            waiting.subtract(1, ordering: .relaxed)
            throw TooBusy()
        }
        defer { waiting.subtract(1, ordering: .relaxed) }
        return try await withCheckedThrowingContinuation { continuation in
            queue.async { [self] in
                continuation.resume(
                    with: Result {
                        let hash = try stored ?? decoyHash()
                        return try hash.matches(password) && stored != nil
                    }
                )
            }
        }
    }

    /// Hashes a new password; one at a time, as checks are done.
    /// - Throws: what the key derivation throws
    package func hash(_ password: String) async throws -> PasswordHash {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try PasswordHash(of: password) }) }
        }
    }

    private func decoyHash() throws -> PasswordHash {
        if let decoy = decoy.withLock(\.self) { return decoy }
        let made = try PasswordHash(of: UUID().uuidString)
        decoy.withLock { $0 = made }
        return made
    }

    private static func key(_ stored: PasswordHash, _ password: String) -> [UInt8] {
        Array(SHA256.hash(data: Data((stored.description + "\0" + password).utf8)))
    }
}
