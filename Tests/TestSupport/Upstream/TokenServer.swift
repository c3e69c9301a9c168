// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import HTTPTypes

/// A token server as distribution's specification describes it, for a registry that checks what it issues.
package final class TokenServer: Sendable {
    private let server: RawServer

    package var url: String { server.url + "/token" }
    /// Requests for tokens so far.
    package var requests: [RawRequest] { server.requests }

    private init(_ server: RawServer) { self.server = server }

    /// Runs a server while `body` runs.
    /// - Parameter authorization: value of the Authorization field that it wants; nil for anonymous clients
    package static func with<Result>(
        signing certificate: Certificate,
        authorization: String? = nil,
        _ body: (TokenServer) async throws -> Result
    ) async throws -> Result {
        let key = try P256.Signing.PrivateKey(
            pemRepresentation: String(contentsOfFile: certificate.keyFile, encoding: .utf8)
        )
        let pem = try String(contentsOfFile: certificate.certificateFile, encoding: .utf8)
        let chain = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
        return try await RawServer.with { connection in
            while true {
                let request = try connection.request()
                if let authorization, request.values("Authorization") != [authorization] {
                    try connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                    continue
                }
                let target = request.line.split(separator: " ")[1]
                let items = URLComponents(string: String(target))?.queryItems ?? []
                let scopes = items.filter { $0.name == "scope" }.compactMap(\.value)
                let token = try token(for: scopes, key, chain)
                let reply = "{\"token\":\"\(token)\",\"expires_in\":300}"
                try connection.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(reply.utf8.count)\r\n\r\n\(reply)"
                )
            }
        } _: { server in
            try await body(TokenServer(server))
        }
    }

    private static func token(for scopes: [String], _ key: P256.Signing.PrivateKey, _ chain: String) throws -> String {
        let access = scopes.compactMap { scope -> String? in
            let parts = scope.split(separator: ":").map(String.init)
            guard parts.count >= 3 else { return nil }
            let name = parts[1..<parts.count - 1].joined(separator: ":")
            let actions = parts[parts.count - 1].split(separator: ",").map { "\"\($0)\"" }.joined(separator: ",")
            return "{\"type\":\"\(parts[0])\",\"name\":\"\(name)\",\"actions\":[\(actions)]}"
        }
        let now = Int(Date().timeIntervalSince1970)
        let header = "{\"typ\":\"JWT\",\"alg\":\"ES256\",\"x5c\":[\"\(chain)\"]}"
        let claims =
            "{\"iss\":\"tests\",\"sub\":\"\",\"aud\":\"registry\",\"exp\":\(now + 300),\"nbf\":\(now - 10),"
            + "\"iat\":\(now - 10),\"jti\":\"\(UInt64.random(in: 0...UInt64.max))\",\"access\":[\(access.joined(separator: ","))]}"
        let signed = encoded(Data(header.utf8)) + "." + encoded(Data(claims.utf8))
        return signed + "." + encoded(try key.signature(for: Data(signed.utf8)).rawRepresentation)
    }

    /// Base64 for URLs, without padding.
    private static func encoded(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
