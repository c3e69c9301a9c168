// SPDX-License-Identifier: Apache-2.0

package import Foundation
import JWTKit
package import OCI

/// What lets a scanner read one stored blob, and nothing else.
struct LayerToken: JWTPayload, Sendable, Hashable {
    /// A scanner may be at an image for ten minutes, and have it in line before that.
    static let lifetime: Duration = .seconds(1_800)
    static let audience = "entrepot-layer"

    let iss: String
    let aud: String
    let iat: Int64
    let exp: Int64
    let digest: Digest

    /// Times and names are checked by ``TokenSigner``, which knows the clock and who it is.
    func verify(using algorithm: some JWTAlgorithm) {}
}

extension TokenSigner {
    /// Signs the right to read one blob, wherever it is.
    package func sign(layer digest: Digest, now: Date = Date()) async throws -> String {
        let seconds = Int64(now.timeIntervalSince1970)
        let lifetime = LayerToken.lifetime.components.seconds
        return try await sign(
            LayerToken(
                iss: Self.issuer,
                aud: LayerToken.audience,
                iat: seconds,
                exp: seconds + lifetime,
                digest: digest
            )
        )
    }

    /// Whether the token is one of ours, of this time, and for this blob.
    package func verify(_ token: String, layer digest: Digest, now: Date = Date()) async throws -> Bool {
        guard let claims = try await check(token, as: LayerToken.self) else { return false }
        let seconds = Int64(now.timeIntervalSince1970)
        return claims.iss == Self.issuer && claims.aud == LayerToken.audience && claims.digest == digest
            && claims.iat <= seconds + Self.skew && claims.exp > seconds - Self.skew
            && claims.exp - claims.iat <= LayerToken.lifetime.components.seconds
    }
}
