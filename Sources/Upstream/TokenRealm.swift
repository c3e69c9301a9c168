// SPDX-License-Identifier: Apache-2.0

import Models
import OCI

/// A token server that an upstream named, and that we are willing to talk to.
///
/// An upstream can name any URL here. Only the upstream's own origin, the hosts known to issue the tokens of well-known
/// registries, and those that the organization lists are trusted: anything else would let one registry send us, and our
/// credentials, anywhere.
struct TokenRealm: Hashable, Sendable {
    /// Hosts other than the registry's own that issue the tokens of well-known registries.
    private static let knownHosts: [String: Set<String>] = [
        "registry-1.docker.io": ["auth.docker.io"],
        "registry.gitlab.com": ["gitlab.com"],
        "registry.redhat.io": ["sso.redhat.com"],
    ]

    let origin: Origin
    /// As the upstream wrote it, its own query included.
    let address: String
    /// As the upstream named it; its host where it doesn't (as on some of Google's registries).
    let service: String

    /// - Throws: ``FetchFailure`` `refusedAddress` for a realm that isn't trusted.
    init(_ challenge: AuthChallenge, for repository: UpstreamRepository) throws {
        guard let realm = challenge.parameters["realm"], let origin = Origin(realm), !realm.contains("#"),
            let registry = Origin(repository.address.baseURL)
        else {
            throw FetchFailure(.upstreamError, "\(repository): the challenge names no usable token server")
        }
        guard origin == registry || Self.isKnown(origin, for: repository) else {
            throw FetchFailure(
                .refusedAddress,
                "\(repository): the registry names \(origin.host) as its token server, which isn't trusted"
            )
        }
        self.origin = origin
        self.address = realm
        self.service = challenge.parameters["service"] ?? origin.host
    }

    private static func isKnown(_ origin: Origin, for repository: UpstreamRepository) -> Bool {
        let known = knownHosts[repository.address.authority] ?? []
        return origin.isListed(in: known.union(repository.realmHosts), allowsPlain: repository.address.isInsecure)
    }

    /// Where to ask for a token by GET. Scope is built by us: some registries leave it out of the challenge.
    func url(scope: String, wantsRefreshToken: Bool = false) -> String {
        var items = ["service=\(Self.encoded(service))"]
        if !scope.isEmpty { items.append("scope=\(Self.encoded(scope))") }
        if wantsRefreshToken { items += ["offline_token=true", "client_id=entrepot"] }
        return address + (address.contains("?") ? "&" : "?") + items.joined(separator: "&")
    }

    /// Everything but RFC 3986's unreserved characters, and `:`, `/` and `,`, which queries may have and people read.
    static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E, 0x3A, 0x2F, 0x2C:
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count == 1 ? "0" + hex : hex)
            }
        }
        return result
    }
}
