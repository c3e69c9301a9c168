// SPDX-License-Identifier: Apache-2.0

import Crypto
package import Foundation

/// Tokens as Clair makes and takes them (HS256), written out by hand: the double doesn't trust the code under test.
package enum ScannerToken {
    package static func make(
        issuer: String,
        key: Data,
        issued: Date? = nil,
        expires: Date?,
        algorithm: String = "HS256"
    ) -> String {
        var claims = "{\"iss\":\"\(issuer)\""
        if let issued {
            claims += ",\"iat\":\(Int(issued.timeIntervalSince1970)),\"nbf\":\(Int(issued.timeIntervalSince1970) - 60)"
        }
        if let expires { claims += ",\"exp\":\(Int(expires.timeIntervalSince1970))" }
        let head = encode(Data("{\"alg\":\"\(algorithm)\",\"typ\":\"JWT\"}".utf8))
        let signed = head + "." + encode(Data((claims + "}").utf8))
        guard algorithm == "HS256" else { return signed + "." }
        let signature = HMAC<SHA256>.authenticationCode(for: Data(signed.utf8), using: SymmetricKey(data: key))
        return signed + "." + encode(Data(signature))
    }

    /// Clair's rules (`middleware/auth/httpauth_psk.go`): the signature, the issuer, and times with 15 seconds of leeway.
    package static func isGood(
        _ authorization: String?,
        key: Data,
        issuers: [String],
        now: Date = Date()
    ) -> Bool {
        struct Claims: Decodable {
            let iss: String
            let exp: Double?
            let nbf: Double?
        }
        guard let authorization, authorization.hasPrefix("Bearer ") else { return false }
        let parts = authorization.dropFirst(7).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let head = decode(parts[0]), String(decoding: head, as: UTF8.self).contains("HS256"),
            let body = decode(parts[1]), let signature = decode(parts[2]),
            HMAC<SHA256>.isValidAuthenticationCode(
                signature,
                authenticating: Data("\(parts[0]).\(parts[1])".utf8),
                using: SymmetricKey(data: key)
            ), let claims = try? JSONDecoder().decode(Claims.self, from: body)  // what can't be read is refused
        else { return false }
        let seconds = now.timeIntervalSince1970
        return issuers.contains(claims.iss) && claims.exp.map { $0 + 15 > seconds } ?? true
            && claims.nbf.map { $0 - 15 <= seconds } ?? true
    }

    private static func encode(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private static func decode(_ text: Substring) -> Data? {
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        plain += String(repeating: "=", count: (4 - plain.count % 4) % 4)
        return Data(base64Encoded: String(plain))
    }
}
