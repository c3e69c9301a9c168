// SPDX-License-Identifier: Apache-2.0

import Addresses
import Metadata
import Models
import Postgres

/// Holds back who guesses: failed logins are counted by account and by address, over all frontends.
struct LoginLimiter: Sendable {
    /// A login that is being checked. It counts as failed until it is known to be right: of many at the same time each would
    /// otherwise be the first one.
    struct Attempt: Sendable {
        fileprivate struct Counter: Sendable {
            let key: String
            /// That follows when it has failed.
            let block: Duration

            init(_ key: String, failures: Int, forgiven: Int) {
                self.key = key
                self.block = ThrottleRules.block(afterFailures: failures, forgiven: forgiven)
            }
        }

        fileprivate let account: Counter
        fileprivate let address: Counter
    }

    enum Admission: Sendable {
        case admitted(Attempt)
        /// Too many have failed; so long yet.
        case blocked(Duration)
    }

    private struct Blocked: Error {}

    /// Bytes of the longest name of an account.
    private static let maximumName = 511

    private let client: PostgresClient
    private let store = LoginThrottleStore()

    init(client: PostgresClient) { self.client = client }

    /// How long the name or the address is blocked yet; zero if they aren't. Counts nothing.
    func block(of name: String, from address: String) async throws -> Duration {
        try await store.block(of: Self.keys(name, address), on: client)
    }

    /// Counts a login, unless there were too many failures before. Whoever is admitted has to be told what came of it:
    /// ``failed(_:)`` or ``succeeded(_:)``.
    /// - Parameter mayBeRight: whether it isn't known already that it fails
    func begin(_ name: String, from address: String, mayBeRight: Bool = true) async throws -> Admission {
        let keys = Self.keys(name, address)
        do {
            let attempt = try await client.withTransaction { transaction in
                let failures = try await store.count(keys, on: transaction)
                // What was counted of the one while the other is blocked is undone.
                guard let ofAccount = failures[keys[0]], let ofAddress = failures[keys[1]] else { throw Blocked() }
                let forgiven = ThrottleRules.forgiven
                let attempt = Attempt(
                    account: .init(keys[0], failures: ofAccount, forgiven: forgiven.account),
                    address: .init(keys[1], failures: ofAddress, forgiven: forgiven.address)
                )
                // Nobody else tries the account meanwhile. Others may share the address, who know their passwords: that is
                // blocked once one has failed.
                let blocked = mayBeRight ? [attempt.account] : [attempt.account, attempt.address]
                for counter in blocked where counter.block > .zero {
                    try await store.setBlock(counter.block, of: counter.key, on: transaction)
                }
                return attempt
            }
            return .admitted(attempt)
        } catch is Blocked {
            return .blocked(try await block(of: name, from: address))
        }
    }

    /// Leaves the attempt counted; the wait begins now.
    func failed(_ attempt: Attempt) async throws {
        for counter in [attempt.account, attempt.address] {
            try await store.fail(counter.key, block: counter.block, on: client)
        }
    }

    /// Takes the attempt back, and forgives its account those before.
    func succeeded(_ attempt: Attempt) async throws {
        try await store.forget(attempt.account.key, on: client)
        try await store.takeBack(attempt.address.key, on: client)
    }

    /// Forgets old failures: guessed names would be rows without end.
    func sweep() async throws { try await store.sweep(on: client) }

    private static func keys(_ name: String, _ address: String) -> [String] {
        ["account:\(kept(name))", "address:\(network(of: address))"]
    }

    /// What is kept of a name that a client sent, be it no name at all: some bytes of it, and none that PostgreSQL refuses.
    static func kept(_ name: String) -> String {
        var kept = ""
        var bytes = 0
        for scalar in name.unicodeScalars {
            let character = Character(scalar == "\0" ? "\u{FFFD}" : scalar)
            bytes += character.utf8.count
            guard bytes <= maximumName else { break }
            kept.append(character)
        }
        return kept
    }

    /// Whom an address counts for. Of IPv6 every client has a /64 to take addresses from.
    private static func network(of text: String) -> String {
        guard let address = IPAddress(text) else { return text }
        let plain = address.embeddedIPv4 ?? address
        guard !plain.isIPv4 else { return "\(plain)" }
        return "\(IPAddress(bytes: Array(plain.bytes[..<8]) + [UInt8](repeating: 0, count: 8)))/64"
    }
}
