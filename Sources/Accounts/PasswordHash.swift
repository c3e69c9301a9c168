// SPDX-License-Identifier: Apache-2.0

import Crypto
import CryptoExtras
import Foundation

/// A password as it is stored: scrypt (RFC 7914) in the PHC string format, `$scrypt$ln=15,r=8,p=1$SALT$HASH`.
package struct PasswordHash: Sendable, Hashable, CustomStringConvertible {
    /// Bytes of a password that are accepted. More would only make hashing slow.
    package static let lengths = 8...1_024

    /// Cost: 2^15 rounds over blocks of 8, which take 32 MiB and a tenth of a second (OWASP's recommendation of 2023).
    private static let standard = Cost(logRounds: 15, blockSize: 8, parallelism: 1)
    private static let saltBytes = 16
    private static let hashBytes = 32

    private struct Cost: Sendable, Hashable {
        let logRounds: Int
        let blockSize: Int
        let parallelism: Int
    }

    private let cost: Cost
    private let salt: Data
    private let hash: Data

    /// Hashes a password, slowly. Throws what the key derivation throws, for want of memory perhaps.
    package init(of password: String) throws {
        cost = Self.standard
        salt = RandomBytes.make(Self.saltBytes)
        hash = try Self.derive(password, salt, Self.standard)
    }

    /// Reads a stored one; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0].isEmpty, parts[1] == "scrypt" else { return nil }
        var numbers: [Substring: Int] = [:]
        for pair in parts[2].split(separator: ",") {
            let halves = pair.split(separator: "=")
            guard halves.count == 2, let number = Int(halves[1]) else { return nil }
            numbers[halves[0]] = number
        }
        guard let logRounds = numbers["ln"], let blockSize = numbers["r"], let parallelism = numbers["p"],
            (1...20).contains(logRounds), (1...32).contains(blockSize), (1...16).contains(parallelism),
            let salt = Data(base64Encoded: String(parts[3])), let hash = Data(base64Encoded: String(parts[4])),
            !salt.isEmpty, hash.count == Self.hashBytes
        else { return nil }
        cost = Cost(logRounds: logRounds, blockSize: blockSize, parallelism: parallelism)
        self.salt = salt
        self.hash = hash
    }

    package var description: String {
        "$scrypt$ln=\(cost.logRounds),r=\(cost.blockSize),p=\(cost.parallelism)$\(salt.base64EncodedString())$"
            + hash.base64EncodedString()
    }

    /// Whether it is this password's, slowly, in a time that tells nothing of where they differ.
    package func matches(_ password: String) throws -> Bool {
        let other = try Self.derive(password, salt, cost)
        return zip(hash, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static func derive(_ password: String, _ salt: Data, _ cost: Cost) throws -> Data {
        try KDF.Scrypt.deriveKey(
            from: Data(password.utf8),
            salt: salt,
            outputByteCount: hashBytes,
            rounds: 1 << cost.logRounds,
            blockSize: cost.blockSize,
            parallelism: cost.parallelism
        ).withUnsafeBytes { Data($0) }
    }
}
