// SPDX-License-Identifier: Apache-2.0

import Logging
import Metadata
import Models
import Postgres
import PullThrough
import TestSupport
import Testing

@testable import Accounts

@Suite("Logins", .timeLimit(.minutes(5)))
struct AuthenticatorTests {
    private static let password = "a long password"
    private static let address = "192.0.2.1"

    /// `anna` has a password.
    private struct Scene: Sendable {
        let configuration: PostgresConfiguration
        let logger: Logger
        let client: PostgresClient
        let authenticator: Authenticator
        let signer: TokenSigner
        let anna: AccountID

        func login(
            _ name: String,
            _ secret: String = AuthenticatorTests.password,
            from address: String = AuthenticatorTests.address,
            for purpose: Authenticator.Purpose = .pull
        ) async throws -> Authenticator.Outcome {
            try await authenticator.login(name, secret, from: address, for: purpose)
        }

        /// Logins at the same time.
        func together(
            _ count: Int,
            _ login: @escaping @Sendable (Int) async throws -> Authenticator.Outcome
        ) async throws -> [Authenticator.Outcome] {
            try await withThrowingTaskGroup(of: Authenticator.Outcome.self) { group in
                for number in 0..<count { group.addTask { try await login(number) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }

        func token(_ scopes: [String]) async throws -> String {
            let token = SecretToken()
            _ = try await AccessTokenStore().make(
                "test",
                hash: token.hash,
                scopes: scopes,
                of: anna,
                lifetime: nil,
                on: client
            )
            return token.text
        }

        /// Failures that count, by key.
        func failures() async throws -> [String: Int] {
            let rows = try await client.query("SELECT key, failures FROM login_throttle WHERE failures > 0")
                .decode((String, Int).self)
            return Dictionary(rows) { $1 }
        }
    }

    private static func with(_ body: (Scene) async throws -> Void) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let configuration = PostgresConfiguration.patient(
            try await PostgresCluster.shared().makeMigratedDatabase(),
            maximumConnections: 4
        )
        let client = PostgresClient(configuration, logger: logger)
        do {
            let anna = try await AccountStore().makeUser(
                try AccountName("anna"),
                passwordHash: try PasswordHash(of: password).description,
                isSuperuser: false,
                on: client
            )
            let signer = TokenSigner(client: client, logger: logger)
            try await body(
                Scene(
                    configuration: configuration,
                    logger: logger,
                    client: client,
                    authenticator: Authenticator(client: client, signer: signer, logger: logger),
                    signer: signer,
                    anna: try #require(anna)
                )
            )
            await client.close()
        } catch {
            await client.close()
            throw error
        }
    }

    private static func isAccepted(_ outcome: Authenticator.Outcome) -> Bool {
        if case .accepted = outcome { true } else { false }
    }

    @Test("a good token for something else is told so, and is no guess")
    func scopes() async throws {
        try await Self.with { scene in
            let puller = try await scene.token([Authenticator.pullScope])
            let manager = try await scene.token([Authenticator.managementScope])
            let (registry, _) = try await scene.signer.sign(
                [],
                account: nil,
                credential: nil,
                service: RegistryToken.service
            )
            for _ in 0..<30 {
                #expect(try await scene.login("anna", puller, for: .management) == .insufficient)
                #expect(try await scene.login("$oauthtoken", manager, for: .pull) == .insufficient)
                for token in [puller, registry] {
                    let outcome = try await scene.authenticator.login(
                        token: token,
                        from: Self.address,
                        for: .management
                    )
                    #expect(outcome == .insufficient)
                }
            }
            #expect(Self.isAccepted(try await scene.login("anna", puller)))
            #expect(try await scene.failures() == [:])
            #expect(try await scene.login("otto", puller, for: .management) == .refused, "another's")
            let forged = try await scene.authenticator.login(token: "a.b.c", from: Self.address, for: .management)
            #expect(forged == .refused)
            #expect(try await scene.failures()["address:\(Self.address)"] == 2)
        }
    }

    @Test("who leaves while a right password is looked at has made no wrong guess")
    func leaves() async throws {
        try await Self.with { scene in
            let journal = Journal<Bool>()
            // At hand, to be cancelled.
            let login = Task {
                defer { journal.note(true) }
                return try await scene.login("anna")
            }
            // Hashing takes longer than this look, but on a machine that stands still.
            try await eventually("the attempt is counted, or over") {
                try await !scene.failures().isEmpty || !journal.entries.isEmpty
            }
            login.cancel()
            _ = await login.result
            #expect(try await scene.failures() == [:])
            #expect(try await scene.login("anna", "a wrong password") == .refused)
            #expect(try await scene.failures()["account:anna"] == 1)
        }
    }

    @Test("a password that looks like a token is one all the same; a robot's token is nothing but a token")
    func lookalikes() async throws {
        try await Self.with { scene in
            let password = SecretToken().text
            let hash = try await scene.authenticator.hash(password).description
            try await AccountStore().setPassword(hash, of: scene.anna, on: scene.client)
            #expect(Self.isAccepted(try await scene.login("anna", password)))
            for name in ["anna", "nobody", "team+ci"] {
                #expect(try await scene.login(name, SecretToken().text) == .refused)
                #expect(try await scene.failures()["account:\(name)"] == 1)
            }
        }
    }

    @Test("guesses at the same time are counted like those one after the other, by account")
    func guessesAtOnce() async throws {
        try await Self.with { scene in
            let outcomes = try await scene.together(40) { number in
                try await scene.login("anna", "wrong \(number) wrong", from: "192.0.2.\(number)")
            }
            let refused = outcomes.filter { $0 == .refused }.count
            // Five are free and the sixth begins the wait, which may end while a slow machine still hashes.
            #expect((6...12).contains(refused))
            #expect(!outcomes.contains { Self.isAccepted($0) })
            #expect(try await scene.failures()["account:anna"] == refused)
        }
    }

    @Test("guesses at the same time are counted by address, and all that a client of IPv6 has is one")
    func network() async throws {
        try await Self.with { scene in
            let outcomes = try await scene.together(80) { number in
                try await scene.login("No Name \(number)", from: "2001:db8:0:1::\(number)")
            }
            let refused = outcomes.filter { $0 == .refused }.count
            #expect((26...32).contains(refused))
            #expect(try await scene.failures()["address:2001:db8:0:1::/64"] == refused)
            #expect(try await scene.login("No Name", from: "2001:db8:0:2::1") == .refused, "another network")
            #expect(try await scene.login("No Name", from: "::ffff:192.0.2.9") == .refused)
            #expect(try await scene.failures()["address:192.0.2.9"] == 1)
        }
    }

    @Test("a fleet that logs in with one right password at the same time is let in")
    func fleet() async throws {
        try await Self.with { scene in
            for _ in 0..<5 { #expect(try await scene.login("anna", "wrong password") == .refused) }
            let outcomes = try await scene.together(60) { _ in try await scene.login("anna") }
            #expect(outcomes.allSatisfy(Self.isAccepted))
            #expect(try await scene.failures() == ["address:\(Self.address)": 5], "right ones count for nothing")
        }
    }

    @Test("who is blocked keeps nobody else from logging in")
    func blockedAddress() async throws {
        try await Self.with { scene in
            let store = LoginThrottleStore()
            _ = try await store.count(["address:192.0.2.66"], on: scene.client)
            try await store.setBlock(.seconds(600), of: "address:192.0.2.66", on: scene.client)
            let outcomes = try await scene.together(120) { number in
                // Each with a password of its own, which would be a place in the line.
                try await scene.login("anna", "wrong \(number) wrong", from: "192.0.2.66")
            }
            for outcome in outcomes {
                guard case .throttled(let seconds) = outcome else {
                    Issue.record("\(outcome)")
                    continue
                }
                #expect(seconds > 100, "for its address, and not since the line is full")
            }
            let mixed = try await scene.together(40) { number in
                try await scene.login("anna", from: number.isMultiple(of: 2) ? "192.0.2.66" : "192.0.2.\(number)")
            }
            #expect(mixed.filter(Self.isAccepted).count >= 20, "a right password from elsewhere")
        }
    }

    @Test("while a password is looked at nobody else of its address is blocked, whatever has failed there before")
    func sharedAddress() async throws {
        try await Self.with { scene in
            let limiter = LoginLimiter(client: scene.client)
            for number in 0..<40 { _ = try await limiter.begin("user\(number)", from: Self.address) }
            #expect(try await limiter.block(of: "anna", from: Self.address) == .zero)
            guard case .admitted(let attempt) = try await limiter.begin("otto", from: Self.address) else {
                Issue.record("nothing has failed yet")
                return
            }
            try await limiter.failed(attempt)
            #expect(try await limiter.block(of: "anna", from: Self.address) > .seconds(100))
        }
    }

    @Test("many who log in from one address at the same time are let in")
    func office() async throws {
        try await Self.with { scene in
            let hash = try await scene.authenticator.hash(Self.password).description
            for number in 0..<30 {
                _ = try await AccountStore().makeUser(
                    try AccountName("user\(number)"),
                    passwordHash: hash,
                    isSuperuser: false,
                    on: scene.client
                )
            }
            let outcomes = try await scene.together(30) { number in try await scene.login("user\(number)") }
            #expect(outcomes.allSatisfy(Self.isAccepted))
            #expect(try await scene.failures() == [:])
        }
    }

    @Test("whoever sets many passwords at the same time is told to wait, and doesn't keep others from logging in")
    func newPasswords() async throws {
        try await Self.with { scene in
            async let outcome = scene.login("anna")
            let refused = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        do { _ = try await scene.authenticator.hash(Self.password) } catch is Authenticator.TooBusy {
                            return true
                        }
                        return false
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(refused > 0)
            #expect(Self.isAccepted(try await outcome))
        }
    }

    @Test("a name that no database takes is one that nobody has")
    func strangeNames() async throws {
        try await Self.with { scene in
            let long = String(repeating: "a" + String(repeating: "\u{301}", count: 30), count: 200)
            let names = ["a\0b", long, "$oauthtoken\0", String(repeating: "\0", count: 100_000), ""]
            for name in names { #expect(try await scene.login(name) == .refused) }
            let failures = try await scene.failures()
            #expect(failures["address:\(Self.address)"] == names.count)
            #expect(failures["account:a\u{FFFD}b"] == 1)
            #expect(failures.keys.allSatisfy { $0.utf8.count < 600 })
        }
    }

    @Test("what was given out for a password ends with it")
    func passwordGeneration() async throws {
        try await Self.with { scene in
            let accounts = AccountStore()
            let before = try #require(try await accounts.find(scene.anna, on: scene.client))
            let (_, byPassword) = try await scene.signer.sign(
                [],
                account: before,
                credential: nil,
                service: RegistryToken.service
            )
            let (_, byToken) = try await scene.signer.sign(
                [],
                account: before,
                credential: AccessTokenID(rawValue: 1),
                service: RegistryToken.service
            )
            #expect(byPassword.generation == before.passwordGeneration && byToken.generation == nil)
            let hash = try await scene.authenticator.hash("another password").description
            try await accounts.setPassword(hash, of: scene.anna, on: scene.client)
            let after = try #require(try await accounts.find(scene.anna, on: scene.client))
            #expect(after.passwordGeneration == before.passwordGeneration + 1)
        }
    }

    @Test("a token for a new password is good where the account of before is still remembered, as older programs' are")
    func olderStanding() async throws {
        try await Self.with { scene in
            let accounts = AccountStore()
            // It hears of nothing.
            let directory = AccountDirectory(
                client: scene.client,
                hub: ChangeHub(scene.configuration, logger: scene.logger)
            )
            func token(generation: Int?) -> RegistryToken {
                RegistryToken(
                    iss: RegistryToken.service,
                    aud: RegistryToken.service,
                    sub: "anna",
                    iat: 0,
                    nbf: 0,
                    exp: .max,
                    jti: "1",
                    access: [],
                    account: scene.anna,
                    credential: nil,
                    generation: generation
                )
            }
            let before = try #require(try await directory.find(scene.anna)).account.passwordGeneration
            let hash = try await scene.authenticator.hash("another password").description
            try await accounts.setPassword(hash, of: scene.anna, on: scene.client)
            #expect(try await directory.find(bearerOf: token(generation: before + 1)) != nil)
            #expect(try await directory.find(bearerOf: token(generation: before)) == nil)
            #expect(try await directory.find(bearerOf: token(generation: nil)) != nil)
            #expect(try await directory.find(bearerOf: token(generation: before + 2)) == nil)
        }
    }
}
