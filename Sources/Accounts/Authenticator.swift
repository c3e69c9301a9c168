// SPDX-License-Identifier: Apache-2.0

import Crypto
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
        /// A good token, but not for this purpose. That is no guess, and isn't counted as one.
        case insufficient
        case refused
        /// Too many failures, or too much to do: nothing was checked. Worth another try after so many seconds, 1 at least.
        case throttled(retryAfterSeconds: Int)
    }

    /// What somebody wants to do.
    package enum Purpose: Sendable {
        case pull, management

        fileprivate var scope: String {
            switch self {
            case .pull: Authenticator.pullScope
            case .management: Authenticator.managementScope
            }
        }
    }

    /// Too much is being hashed: worth another try after so many seconds.
    package struct TooBusy: Error {
        package let retryAfterSeconds = 2
    }

    /// Scope of tokens that may pull.
    package static let pullScope = "repo:read"
    /// Scope of tokens that may manage whatever their account may.
    package static let managementScope = "org:admin"
    /// User name that goes with any account's token.
    private static let anyName = "$oauthtoken"
    /// Logins that may wait for their turn.
    private static let maximumWaiting = 32
    /// New passwords wait only where the line is short: whoever changes many can't keep others from logging in.
    private static let maximumBeforeNew = 8
    private static let sweepInterval: Duration = .seconds(60)
    /// How long an expired or revoked token is still told of.
    private static let tokenMemory: Duration = .seconds(7 * 86_400)

    private let client: PostgresClient
    private let signer: TokenSigner
    private let logger: Logger
    private let accounts = AccountStore()
    private let tokens = AccessTokenStore()
    private let limiter: LoginLimiter
    private let log = LogStore()
    private let line = HashingLine()
    /// One check for all who send the same at the same time: a fleet that starts takes one place in the line, and a password
    /// that is wrong was guessed once.
    private let checking = Coalescer<[UInt8], Outcome?>()
    /// What was verified a moment ago; the key holds the stored hash, so that a new password ends it.
    private let verified = BoundedCache<[UInt8], Bool>(maximumCost: 10_000, lifetime: .seconds(60))
    /// Nobody's: hashed when there is no account of a name, so that the time tells nothing.
    private let decoy = Mutex<PasswordHash?>(nil)

    /// - Parameter signer: of the tokens that the registry gives
    package init(client: PostgresClient, signer: TokenSigner, logger: Logger) {
        self.client = client
        self.signer = signer
        limiter = LoginLimiter(client: client)
        self.logger = logger
    }

    /// Forgets old failures and worthless tokens until cancelled.
    package func run() async throws {
        while !Task.isCancelled {
            do {
                try await limiter.sweep()
                try await tokens.sweep(worthlessFor: Self.tokenMemory, on: client)
            } catch is CancellationError { return } catch {
                logger.warning("old logins and tokens can't be forgotten", metadata: ["error": "\(error)"])
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
        if let token = SecretToken(secret), let outcome = try await login(token, name: name, purpose) { return outcome }
        // What looks like a token may be somebody's password all the same; robots have none.
        guard let name = AccountName(rawValue: name), PasswordHash.lengths.contains(secret.utf8.count),
            name.robotOrganization == nil || SecretToken(secret) == nil
        else { return try await refuse(name, from: address) }
        let account = try await accounts.find(name, on: client)
        let stored = try await passwordHash(of: account)
        let key = Self.key(name, stored, secret)
        if let account, verified[key] == true { return .accepted(account, credential: nil) }
        var isOwn = false
        var refusal = try await checking.value(for: key) { () async throws -> Outcome? in
            isOwn = true
            if let refusal = try await check(name, secret, stored, from: address) { return refusal }
            verified.insert(true, for: key)
            if let account { try await accounts.noteLogin(account.id, on: client) }
            return nil
        }
        // Another address may be blocked, and this one not.
        if !isOwn, case .throttled? = refusal { refusal = try await check(name, secret, stored, from: address) }
        if let refusal { return refusal }
        guard let account else { return .refused }
        return .accepted(account, credential: nil)
    }

    /// Nil for who has no password, and for who isn't let in with it either.
    private func passwordHash(of account: Account?) async throws -> PasswordHash? {
        guard let account, account.isEnabled else { return nil }
        return try await accounts.passwordHash(of: account.id, on: client).flatMap(PasswordHash.init)
    }

    /// Checks a token alone.
    package func login(token text: String, from address: String, for purpose: Purpose) async throws -> Outcome {
        // What the registry gives is for pulling, and goes to where that is done.
        if SecretToken(text) == nil, try await signer.verify(text, service: RegistryToken.service) != nil {
            return .insufficient
        }
        return try await login(Self.anyName, text, from: address, for: purpose)
    }

    /// Nil for what is no token, or not any more, or another account's.
    private func login(_ token: SecretToken, name: String, _ purpose: Purpose) async throws -> Outcome? {
        guard let found = try await tokens.find(hash: token.hash, on: client),
            let account = try await accounts.find(found.account, on: client), account.isEnabled,
            name == account.name.rawValue || name == Self.anyName
        else { return nil }
        guard found.scopes.contains(purpose.scope) else { return .insufficient }
        try await tokens.noteUse(found.token, on: client)
        return .accepted(account, credential: found.token)
    }

    /// Why somebody isn't let in whose secret can't be right.
    private func refuse(_ name: String, from address: String) async throws -> Outcome {
        switch try await limiter.begin(name, from: address, mayBeRight: false) {
        case .blocked(let wait): return Self.throttled(wait)
        case .admitted(let attempt): return try await fail(attempt, of: name, from: address)
        }
    }

    /// Why somebody isn't let in; nil when the password is right.
    ///
    /// Attempts are counted one at a time, as they are checked: many that are right don't count together.
    private func check(
        _ name: AccountName,
        _ password: String,
        _ stored: PasswordHash?,
        from address: String
    ) async throws -> Outcome? {
        // Who is blocked takes no place in the line.
        let block = try await limiter.block(of: name.rawValue, from: address)
        guard block == .zero else { return Self.throttled(block) }
        do {
            return try await line.turn(behind: Self.maximumWaiting) { () async throws -> Outcome? in
                switch try await limiter.begin(name.rawValue, from: address) {
                case .blocked(let wait): return Self.throttled(wait)
                case .admitted(let attempt):
                    guard try await matches(stored, password) else {
                        return try await fail(attempt, of: name.rawValue, from: address)
                    }
                    // Shielded: a client that has left was right all the same.
                    try await Task { try await limiter.succeeded(attempt) }.value
                    return nil
                }
            }
        } catch let busy as TooBusy {
            return .throttled(retryAfterSeconds: busy.retryAfterSeconds)
        }
    }

    private static func throttled(_ wait: Duration) -> Outcome {
        .throttled(retryAfterSeconds: Int(wait.components.seconds) + 1)
    }

    private func fail(_ attempt: LoginLimiter.Attempt, of name: String, from address: String) async throws -> Outcome {
        try await limiter.failed(attempt)
        let name = LoginLimiter.kept(name)
        logger.notice("login failed", metadata: ["account": "\(name)", "address": "\(address)"])
        try await log.append([LogEntry(.failedLogin, address: address, metadata: ["account": name])], on: client)
        return .refused
    }

    private func matches(_ stored: PasswordHash?, _ password: String) async throws -> Bool {
        try await line.compute { [self] in
            let hash = try stored ?? decoyHash()
            return try hash.matches(password) && stored != nil
        }
    }

    /// Hashes a new password; one at a time, as checks are done.
    /// - Throws: ``TooBusy``; what the key derivation throws
    package func hash(_ password: String) async throws -> PasswordHash {
        try await line.turn(behind: Self.maximumBeforeNew) {
            try await line.compute { try PasswordHash(of: password) }
        }
    }

    private func decoyHash() throws -> PasswordHash {
        if let decoy = decoy.withLock(\.self) { return decoy }
        let made = try PasswordHash(of: UUID().uuidString)
        decoy.withLock { $0 = made }
        return made
    }

    private static func key(_ name: AccountName, _ stored: PasswordHash?, _ password: String) -> [UInt8] {
        let parts = [name.rawValue, stored?.description ?? "", password]
        return Array(SHA256.hash(data: Data(parts.joined(separator: "\0").utf8)))
    }
}
