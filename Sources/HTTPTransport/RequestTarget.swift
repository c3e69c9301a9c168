// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Scheme, host and port that a URL leads to.
struct RequestTarget: Hashable, Sendable {
    let isSecure: Bool
    /// Lower case, without brackets.
    let host: String
    let port: Int

    /// Throws ``HTTPTransportError`` `badURL` or `unsupportedScheme`.
    init(_ url: String) throws(HTTPTransportError) {
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let components = URLComponents(string: url, encodingInvalidCharacters: false),
            let scheme = components.scheme?.lowercased()
        else { throw HTTPTransportError(.badURL, "the URL makes no sense") }
        guard scheme == "http" || scheme == "https" else {
            throw HTTPTransportError(.unsupportedScheme, "\"\(scheme)\" isn't spoken, only http and https")
        }
        guard let host = components.host, !host.isEmpty, components.user == nil, components.password == nil,
            (1...65_535).contains(components.port ?? 80)
        else { throw HTTPTransportError(.badURL, "the URL needs a host, and may not carry credentials") }
        isSecure = scheme == "https"
        self.host = host.lowercased().trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        port = components.port ?? (isSecure ? 443 : 80)
    }
}
