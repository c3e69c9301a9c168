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
            let failures: Int
            let forgiven: Int

            var block: Duration { ThrottleRules.block(afterFailures: failures, forgiven: forgiven) }
        }

        fileprivate let account: Counter
        fileprivate let address: Counter
        fileprivate var counters: [Counter] { [account, address] }
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

    /// Counts a login, unless there were too many failures before. Whoever is admitted has to be told what came of it:
    /// ``failed(_:)`` or ``succeeded(_:)``.
    func begin(_ name: String, from address: String) async throws -> Admission {
        let account = "account:\(Self.kept(name))"
        let network = "address:\(Self.network(of: address))"
        do {
            let attempt = try await client.withTransaction { transaction in
                let failures = try await store.count([account, network], on: transaction)
                // What was counted of the one while the other is blocked is undone.
                guard let ofAccount = failures[account], let ofAddress = failures[network] else { throw Blocked() }
                let forgiven = ThrottleRules.forgiven
                let attempt = Attempt(
                    account: Attempt.Counter(key: account, failures: ofAccount, forgiven: forgiven.account),
                    address: Attempt.Counter(key: network, failures: ofAddress, forgiven: forgiven.address)
                )
                for counter in attempt.counters where counter.block > .zero {
                    try await store.setBlock(counter.block, of: counter.key, on: transaction)
                }
                return attempt
            }
            return .admitted(attempt)
        } catch is Blocked {
            return .blocked(try await store.block(of: [account, network], on: client))
        }
    }

    /// Leaves the attempt counted; the wait begins now.
    func failed(_ attempt: Attempt) async throws {
        for counter in attempt.counters { try await store.fail(counter.key, block: counter.block, on: client) }
    }

    /// Takes the attempt back, and forgives its account those before.
    func succeeded(_ attempt: Attempt) async throws {
        try await store.forget(attempt.account.key, on: client)
        try await store.takeBack(attempt.address.key, failures: attempt.address.failures, on: client)
    }

    /// Forgets old failures: guessed names would be rows without end.
    func sweep() async throws { try await store.sweep(on: client) }

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
