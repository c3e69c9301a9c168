// SPDX-License-Identifier: Apache-2.0

import Clair
import Foundation
import TestSupport
import Testing

@Suite("The key that is shared with the scanner")
struct SharedKeyTests {
    private static let secret = Data("a secret of thirty-two bytes....".utf8)
    private static let now = Date(timeIntervalSince1970: 1_760_000_000)

    private static func key(_ issuer: String = "quay") throws -> SharedKey {
        try SharedKey(base64: secret.base64EncodedString(), issuer: issuer)
    }

    @Test("requests are signed as the scanner wants them: HS256, issuer, five minutes")
    func signs() async throws {
        let header = try await Self.key().authorization(now: Self.now)
        func isGood(_ seconds: Double, key: Data = Self.secret, issuers: [String] = ["quay"]) -> Bool {
            ScannerToken.isGood(header, key: key, issuers: issuers, now: Self.now + seconds)
        }
        #expect(isGood(0) && isGood(300) && isGood(314))
        #expect(!isGood(316))
        #expect(!isGood(0, key: Data("another".utf8)))
        #expect(!isGood(0, issuers: ["other"]))
    }

    private static func token(
        issuer: String = "clair-intraservice",
        key: Data = secret,
        issued: Double? = 0,
        expires: Double? = 60,
        algorithm: String = "HS256"
    ) -> String {
        "Bearer "
            + ScannerToken.make(
                issuer: issuer,
                key: key,
                issued: issued.map { now + $0 },
                expires: expires.map { now + $0 },
                algorithm: algorithm
            )
    }

    @Test("the scanner's own signature is taken, within 15 seconds of its time")
    func accepts() async throws {
        let key = try Self.key()
        #expect(await key.accepts(Self.token(), now: Self.now))
        #expect(await key.accepts(Self.token(issuer: "quay"), now: Self.now))
        #expect(await key.accepts(Self.token(), now: Self.now + 74))
        #expect(await key.accepts(Self.token(issued: 14), now: Self.now))
    }

    @Test("everything else is refused: other issuers, other keys, no algorithm, old ones, ones without an end")
    func refuses() async throws {
        let key = try Self.key()
        let bad = [
            Self.token(issuer: "somebody"), Self.token(key: Data("another".utf8)), Self.token(algorithm: "none"),
            Self.token(expires: -16), Self.token(expires: nil), Self.token(issued: 120, expires: 300), "Bearer ", "",
            "Bearer a.b.c",
            String(Self.token().dropFirst(7)), "Basic " + String(Self.token().dropFirst(7)),
            "Bearer " + String(repeating: "a", count: 5_000),
        ]
        for token in bad { #expect(await !key.accepts(token, now: Self.now), "\(token)") }
        #expect(await !key.accepts(nil, now: Self.now))
        // The header says none, the signature is right.
        let parts = Self.token().dropFirst(7).split(separator: ".")
        let none = Data("{\"alg\":\"none\"}".utf8).base64EncodedString().replacing("=", with: "")
        #expect(await !key.accepts("Bearer \(none).\(parts[1]).\(parts[2])", now: Self.now))
    }

    @Test("a key that is no base64, or short, is refused at once", arguments: ["", "no base64!", "c2hvcnQ="])
    func badKeys(_ text: String) {
        #expect(throws: ClairKeyError.self) { try SharedKey(base64: text, issuer: "quay") }
    }
}
