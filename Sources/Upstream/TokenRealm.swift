// SPDX-License-Identifier: Apache-2.0

import Foundation
import Models
import OCI

/// A token server that an upstream named, and that we are willing to talk to.
///
/// An upstream can name any URL here. Only the upstream's own origin and the hosts known to issue its tokens are
/// trusted: anything else would let one registry send us, and later our credentials, anywhere.
struct TokenRealm: Hashable, Sendable {
    /// Hosts other than the registry's own that issue the tokens of well-known registries.
    private static let knownHosts: [String: Set<String>] = [
        "registry-1.docker.io": ["auth.docker.io"],
        "registry.gitlab.com": ["gitlab.com"],
    ]

    let origin: Origin
    private let realm: String
    private let service: String?

    /// - Throws: ``FetchFailure`` `refusedAddress` for a realm that isn't trusted.
    init(_ challenge: AuthChallenge, for repository: UpstreamRepository) throws {
        guard let realm = challenge.parameters["realm"], let origin = Origin(realm),
            let registry = Origin(repository.address.baseURL)
        else {
            throw FetchFailure(.upstreamError, "\(repository): the challenge names no usable token server")
        }
        let isKnown =
            Self.knownHosts[repository.address.authority]?.contains(origin.host) == true
            && origin.scheme == "https" && origin.port == 443
        guard origin == registry || isKnown else {
            throw FetchFailure(
                .refusedAddress,
                "\(repository): the registry names \(origin.host) as its token server, which isn't trusted"
            )
        }
        self.origin = origin
        self.realm = realm
        self.service = challenge.parameters["service"]
    }

    /// Where to ask for a token. Scope is built by us: some registries leave it out of the challenge.
    func url(scope: String) throws -> String {
        guard var components = URLComponents(string: realm) else {
            throw FetchFailure(.upstreamError, "the token server's URL can't be parsed")
        }
        var items = components.queryItems ?? []
        if let service { items.append(URLQueryItem(name: "service", value: service)) }
        items.append(URLQueryItem(name: "scope", value: scope))
        components.queryItems = items
        guard let url = components.string else {
            throw FetchFailure(.upstreamError, "the token server's URL can't be built")
        }
        return url
    }
}
