// SPDX-License-Identifier: Apache-2.0

package import Foundation
import JWTKit

/// The key that Clair and we share: signs our requests, and verifies Clair's (HS256; Clair, `middleware/auth` and
/// `internal/httputil`).
package struct SharedKey: Sendable {
    /// Under which Clair signs its own requests.
    package static let clairIssuer = "clair-intraservice"
    /// How long a token is good: requests may be sent long after they were made ready.
    private static let lifetime: TimeInterval = 300
    /// Clocks differ; Clair allows as much.
    private static let leeway: TimeInterval = 15
    private static let maximumTokenBytes = 4_096

    private struct Claims: JWTPayload {
        let iss: String
        let exp: Int64
        var nbf: Int64?
        var iat: Int64?

        func verify(using algorithm: some JWTAlgorithm) {}  // times and names are checked by ``SharedKey``
    }

    private let secret: Data
    private let issuer: String

    /// - Parameters:
    ///   - base64: the key as Clair's `auth.psk.key` has it
    ///   - issuer: one of those that Clair's `auth.psk.iss` lists
    /// - Throws: ``ClairKeyError``
    package init(base64: String, issuer: String) throws(ClairKeyError) {
        guard let secret = Data(base64Encoded: base64), secret.count >= 16 else {
            throw ClairKeyError("expected 16 bytes or more, in base64")
        }
        self.secret = secret
        self.issuer = issuer
    }

    /// The value of `Authorization` for one request.
    package func authorization(now: Date = Date()) async throws -> String {
        let claims = Claims(iss: issuer, exp: Int64((now.timeIntervalSince1970 + Self.lifetime).rounded(.down)))
        return "Bearer " + (try await keys().sign(claims))
    }

    /// Whether somebody who has the key sent it, within the last moments.
    /// - Parameter authorization: the value of `Authorization`
    package func accepts(_ authorization: String?, now: Date = Date()) async -> Bool {
        guard let authorization, authorization.utf8.count <= Self.maximumTokenBytes else { return false }
        let parts = authorization.split(separator: " ")
        guard parts.count == 2, parts[0].lowercased() == "bearer", Self.algorithm(of: parts[1]) == "HS256" else {
            return false
        }
        let claims: Claims
        do { claims = try await keys().verify(String(parts[1]), as: Claims.self) } catch { return false }
        let seconds = now.timeIntervalSince1970
        return [issuer, Self.clairIssuer].contains(claims.iss)
            && Double(claims.exp) + Self.leeway > seconds
            && Double(claims.nbf ?? 0) - Self.leeway <= seconds
            && Double(claims.iat ?? 0) - Self.leeway <= seconds
    }

    private func keys() async -> JWTKeyCollection {
        await JWTKeyCollection().add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256)
    }

    /// What the token's header says; the signature is checked by HS256 whatever it is, but a token that claims another
    /// algorithm isn't one that Clair makes.
    private static func algorithm(of token: Substring) -> String? {
        struct Header: Decodable { let alg: String }
        guard let header = token.split(separator: ".", omittingEmptySubsequences: false).first else { return nil }
        var text = header.replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        guard let data = Data(base64Encoded: String(text)) else { return nil }
        return (try? JSONDecoder().decode(Header.self, from: data))?.alg  // anything else is no token
    }
}

/// A key that can't be used.
package struct ClairKeyError: Error, CustomStringConvertible, Sendable {
    package let description: String

    init(_ description: String) { self.description = description }
}
