// SPDX-License-Identifier: Apache-2.0

import Addresses
import Foundation

/// Which requests go through a proxy, as the usual environment variables say: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`,
/// `NO_PROXY`, in either case. Upper-case `HTTP_PROXY` is not read: under CGI a client could set it by a header.
package struct ProxyEnvironment: Sendable, Hashable {
    private enum Exception: Sendable, Hashable {
        case everything
        /// The name itself and everything below it.
        case domain(String, port: Int?)
        case network(CIDR)
    }

    private let httpProxy: String?
    private let httpsProxy: String?
    private let exceptions: [Exception]

    /// No request goes through a proxy.
    package static let none = ProxyEnvironment([:])

    package static func fromProcess() -> ProxyEnvironment { ProxyEnvironment(ProcessInfo.processInfo.environment) }

    package init(_ environment: [String: String]) {
        func value(_ names: String...) -> String? {
            names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        let all = value("all_proxy", "ALL_PROXY")
        httpProxy = value("http_proxy") ?? all
        httpsProxy = value("https_proxy", "HTTPS_PROXY") ?? all
        exceptions = (value("no_proxy", "NO_PROXY") ?? "").split { $0 == "," || $0.isWhitespace }
            .map { Self.exception($0.lowercased()) }
    }

    /// URL of the proxy for a target; nil to go there directly.
    func proxy(for target: RequestTarget) -> String? {
        guard let proxy = target.isSecure ? httpsProxy : httpProxy else { return nil }
        return exceptions.contains { Self.covers($0, target) } ? nil : proxy
    }

    private static func exception(_ text: String) -> Exception {
        if text == "*" { return .everything }
        if let network = try? CIDR(text) { return .network(network) }  // what is no network is a name
        var name = Substring(text)
        var port: Int?
        if let colon = name.lastIndex(of: ":"), let number = Int(name[name.index(after: colon)...]) {
            port = number
            name = name[..<colon]
        }
        if name.hasPrefix("*.") { name = name.dropFirst(2) } else if name.hasPrefix(".") { name = name.dropFirst() }
        return .domain(String(name), port: port)
    }

    private static func covers(_ exception: Exception, _ target: RequestTarget) -> Bool {
        switch exception {
        case .everything:
            return true
        case .domain(let name, let port):
            guard port == nil || port == target.port else { return false }
            return target.host == name || target.host.hasSuffix("." + name)
        case .network(let network):
            return IPAddress(target.host).map(network.contains) ?? false
        }
    }
}
