// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
package import Models

/// Seals credentials to the fetchers' key (HPKE, RFC 9180, base mode). Who has only this can't open them again.
package struct CredentialSealer: Sendable {
    private let publicKey: SealingPublicKey

    package init(_ publicKey: SealingPublicKey) { self.publicKey = publicKey }

    /// The result is bound to the organization: moved to another one, it can't be opened.
    package func seal(
        _ credentials: UpstreamCredentials,
        for organization: OrganizationID
    ) throws -> SealedCredentials {
        var sender = try HPKE.Sender(
            recipientKey: Curve25519.KeyAgreement.PublicKey(rawRepresentation: publicKey.bytes),
            ciphersuite: HPKEForm.suite,
            info: HPKEForm.purpose
        )
        let sealed = try sender.seal(
            try JSONEncoder().encode(credentials),
            authenticating: HPKEForm.place(organization)
        )
        return SealedCredentials(bytes: Array(sender.encapsulatedKey + sealed), keyID: publicKey.id)
    }
}

/// Opens what was sealed to any of a fetcher's keys.
package struct CredentialOpener: Sendable {
    private let keys: [String: SealingPrivateKey]

    package init(_ keys: [SealingPrivateKey]) {
        self.keys = Dictionary(keys.map { ($0.publicKey.id, $0) }) { first, _ in first }
    }

    /// Whether there is a key for it.
    package func canOpen(_ sealed: SealedCredentials) -> Bool { keys[sealed.keyID] != nil }

    /// Throws ``SealingError``.
    package func open(
        _ sealed: SealedCredentials,
        for organization: OrganizationID
    ) throws(SealingError) -> UpstreamCredentials {
        guard let key = keys[sealed.keyID] else {
            throw SealingError("the credentials are sealed to a key that this fetcher hasn't (\(sealed.keyID))")
        }
        do {
            var recipient = try HPKE.Recipient(
                privateKey: key.key,
                ciphersuite: HPKEForm.suite,
                info: HPKEForm.purpose,
                encapsulatedKey: Data(sealed.bytes.prefix(HPKEForm.encapsulatedKeyBytes))
            )
            let opened = try recipient.open(
                Data(sealed.bytes.dropFirst(HPKEForm.encapsulatedKeyBytes)),
                authenticating: HPKEForm.place(organization)
            )
            return try JSONDecoder().decode(UpstreamCredentials.self, from: opened)
        } catch {
            throw SealingError("the sealed credentials were changed, or belong to another organization")
        }
    }
}

/// How both sides use HPKE.
private enum HPKEForm {
    static let suite = HPKE.Ciphersuite.Curve25519_SHA256_ChachaPoly
    static let purpose = Data("entrepot upstream credentials".utf8)
    static let encapsulatedKeyBytes = 32

    static func place(_ organization: OrganizationID) -> Data { Data("organization \(organization)".utf8) }
}
