// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Models

/// Where a redirect may lead. The transport checks the address that is connected to; this checks the rest.
enum Redirect {
    static let statuses: Set<Int> = [301, 302, 303, 307, 308]
    private static let maximumHops = 5

    /// The URL that `Location` names.
    /// - Throws: ``FetchFailure`` for a missing or senseless location, a downgrade to plain HTTP, or too many hops.
    static func target(
        of head: HTTPTransportHead,
        from url: String,
        hop: Int,
        repository: UpstreamRepository,
        _ what: String
    ) throws -> String {
        guard hop <= maximumHops else {
            throw FetchFailure(.upstreamError, "\(repository): \(what): more than \(maximumHops) redirects")
        }
        guard let location = head.headers[.location], let base = URL(string: url, encodingInvalidCharacters: false),
            URL(string: location, encodingInvalidCharacters: false) != nil,
            let target = URL(string: location, relativeTo: base),
            let scheme = target.scheme?.lowercased(), scheme == "http" || scheme == "https",
            let host = target.host(), !host.isEmpty, target.user() == nil, target.password() == nil
        else {
            throw FetchFailure(.upstreamError, "\(repository): \(what): redirected to nowhere that we can go")
        }
        if scheme == "http", base.scheme?.lowercased() == "https" {
            throw FetchFailure(
                .refusedAddress,
                "\(repository): \(what): redirected from HTTPS to plain HTTP at \(host)"
            )
        }
        return target.absoluteString
    }

    /// Same scheme, host and port (RFC 6454 section 5).
    static func isSameOrigin(_ left: String, _ right: String) -> Bool {
        guard let left = Origin(left), let right = Origin(right) else { return false }
        return left == right
    }
}

/// Scheme, host and port of a URL.
struct Origin: Hashable {
    let scheme: String
    let host: String
    let port: Int

    init?(_ url: String) {
        guard let parsed = URL(string: url, encodingInvalidCharacters: false), let scheme = parsed.scheme?.lowercased(),
            let host = parsed.host()?.lowercased(), !host.isEmpty, parsed.user() == nil, parsed.password() == nil,
            scheme == "http" || scheme == "https"
        else { return nil }
        self.scheme = scheme
        self.host = host
        self.port = parsed.port ?? (scheme == "https" ? 443 : 80)
    }

    /// Whether an administrator trusts it.
    /// - Parameters:
    ///   - hosts: with a port unless it is the scheme's own
    ///   - allowsPlain: plain HTTP is trusted only where the upstream itself is plain
    func isListed(in hosts: some Sequence<String>, allowsPlain: Bool) -> Bool {
        guard scheme == "https" || allowsPlain else { return false }
        let isDefaultPort = port == (scheme == "https" ? 443 : 80)
        return hosts.contains { listed in
            listed.lowercased() == "\(host):\(port)" || (isDefaultPort && listed.lowercased() == host)
        }
    }
}
