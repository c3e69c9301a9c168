// SPDX-License-Identifier: Apache-2.0

import Models
import Sealing
import Testing

@Suite("Sealed credentials")
struct CredentialSealingTests {
    private static let organization = OrganizationID(rawValue: 7)

    private func credentials(_ password: String = "c4n4ry-pässword") throws -> UpstreamCredentials {
        try UpstreamCredentials(username: "robot", password: password)
    }

    @Test("what was sealed is opened by the private key, and by no other")
    func roundTrip() throws {
        let key = try SealingPrivateKey()
        let sealed = try CredentialSealer(key.publicKey).seal(credentials(), for: Self.organization)
        #expect(sealed.keyID == key.publicKey.id)
        #expect(try CredentialOpener([SealingPrivateKey(), key]).open(sealed, for: Self.organization) == credentials())
        let other = CredentialOpener([try SealingPrivateKey()])
        #expect(!other.canOpen(sealed))
        #expect(throws: SealingError.self) { _ = try other.open(sealed, for: Self.organization) }
    }

    @Test("sealed credentials can't be moved to another organization, nor changed, nor cut")
    func bound() throws {
        let key = try SealingPrivateKey()
        let opener = CredentialOpener([key])
        let sealed = try CredentialSealer(key.publicKey).seal(credentials(), for: Self.organization)
        #expect(throws: SealingError.self) { _ = try opener.open(sealed, for: OrganizationID(rawValue: 8)) }
        for index in [0, 31, 32, sealed.bytes.count - 1] {
            var bytes = sealed.bytes
            bytes[index] ^= 1
            let changed = SealedCredentials(bytes: bytes, keyID: sealed.keyID)
            #expect(throws: SealingError.self) { _ = try opener.open(changed, for: Self.organization) }
        }
        for count in [0, 10, 32, 40] {
            let cut = SealedCredentials(bytes: Array(sealed.bytes.prefix(count)), keyID: sealed.keyID)
            #expect(throws: SealingError.self) { _ = try opener.open(cut, for: Self.organization) }
        }
    }

    @Test("the same credentials never seal to the same bytes, and nothing of them is in the bytes")
    func random() throws {
        let key = try SealingPrivateKey()
        let sealer = CredentialSealer(key.publicKey)
        let first = try sealer.seal(credentials("canary"), for: Self.organization)
        let second = try sealer.seal(credentials("canary"), for: Self.organization)
        #expect(first.bytes != second.bytes)
        #expect(!String(decoding: first.bytes, as: UTF8.self).contains("canary"))
    }

    @Test("a key survives its file; anything else is no key, and isn't shown")
    func files() throws {
        let key = try SealingPrivateKey()
        let read = try SealingPrivateKey(fileContent: key.fileContent)
        #expect(read.publicKey == key.publicKey)
        for content in ["", "secret", "entrepot-fetcher-key-1 c2hvcnQ=", "entrepot-fetcher-key-1 not base64", "x y"] {
            let error = #expect(throws: SealingError.self) { _ = try SealingPrivateKey(fileContent: content) }
            #expect(error?.description.contains("secret") == false)
        }
        #expect(throws: SealingError.self) { _ = try SealingPublicKey(bytes: [1, 2, 3]) }
    }

    @Test("credentials and keys don't show themselves")
    func redaction() throws {
        let credentials = try credentials("canary")
        let key = try SealingPrivateKey()
        for text in ["\(credentials)", String(reflecting: credentials), "\(key)", String(describing: [credentials])] {
            #expect(!text.contains("canary") && !text.contains("robot"))
            #expect(!text.contains(key.fileContent.split(separator: " ")[1].prefix(20)))
        }
    }

    @Test("what can't be sent as Basic credentials is refused", arguments: ["", "a:b", "a\nb", "a\u{0}"])
    func unsendable(_ username: String) {
        #expect(throws: ModelError.self) { _ = try UpstreamCredentials(username: username, password: "p") }
        #expect(throws: ModelError.self) { _ = try UpstreamCredentials(username: "u", password: "p\r\n") }
    }
}
