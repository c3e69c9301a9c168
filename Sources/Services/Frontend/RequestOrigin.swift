// SPDX-License-Identifier: Apache-2.0

package import Addresses
import HTTPTypes
import HummingbirdCore
import NIOCore
import OCI

/// Where a request comes from, and what its sender calls us, as far as that can be believed.
struct RequestOrigin: Sendable {
    let channel: any Channel
    /// The client's; nil where it has none.
    var address: String?
    /// As a proxy that we trust has seen it; nil for a request that came without one.
    var scheme: String?
    /// Host, with port if need be; as `scheme`.
    var host: String?
    /// Whether a proxy that we trust has sent it.
    var isVouchedFor = false
}

/// The proxies that may say for whom they ask. Nobody else is believed: what a client writes into these fields would
/// otherwise be its address, in the log and in what is held against it.
package struct TrustedProxies: Sendable {
    /// What proxies write. One of the two: a proxy passes on what it doesn't know, so that the other is a client's word.
    package enum Fields: String, Sendable, CaseIterable {
        /// `X-Forwarded-For`, `-Proto` and `-Host`.
        case xForwarded = "x-forwarded"
        /// `Forwarded` (RFC 7239).
        case forwarded
    }

    /// More than any chain of proxies; the rest isn't read.
    private static let maximumHops = 32

    private let networks: [CIDR]
    private let fields: Fields

    package init(networks: [CIDR] = [], fields: Fields = .xForwarded) {
        self.networks = networks
        self.fields = fields
    }

    func origin(of headers: HTTPFields, on channel: any Channel) -> RequestOrigin {
        var origin = RequestOrigin(channel: channel, address: channel.remoteAddress?.ipAddress)
        guard !networks.isEmpty, let peer = origin.address, trusts(peer) else { return origin }
        origin.isVouchedFor = true
        let claim = claim(in: headers)
        if let address = claim.address { origin.address = address }
        (origin.scheme, origin.host) = (claim.scheme, claim.host)
        return origin
    }

    /// Each proxy adds at the end whom it was asked by. So the list is read from there, as long as those who wrote it are
    /// trusted: the first who isn't is the client.
    func claim(in headers: HTTPFields) -> Hop {
        let hops = fields == .xForwarded ? Self.xForwarded(headers) : Self.forwarded(headers)
        var client: Hop?
        for hop in hops.reversed().prefix(Self.maximumHops) {
            // "unknown", or a name that hides it: the proxy that says so is all that is known.
            guard let address = hop.address else { break }
            client = hop
            guard trusts(address) else { break }
        }
        var claim = client ?? hops.last ?? Hop()
        let scheme = claim.scheme?.lowercased()
        claim.scheme = scheme == "http" || scheme == "https" ? scheme : nil
        claim.host = claim.host.flatMap { Authority.isValid($0) ? $0 : nil }
        return claim
    }

    private func trusts(_ text: String) -> Bool {
        guard let address = IPAddress(text) else { return false }
        // IPv4 clients of an IPv6 socket.
        let plain = address.embeddedIPv4 ?? address
        return networks.contains { $0.contains(address) || $0.contains(plain) }
    }

    /// What one proxy says of whom it was asked by.
    struct Hop: Hashable {
        var address: String?
        var scheme: String?
        var host: String?
    }

    private static func xForwarded(_ headers: HTTPFields) -> [Hop] {
        func list(_ name: HTTPField.Name) -> [String] {
            headers[values: name].flatMap { $0.split(separator: ",") }.map { $0.trimmingBlanks() }
        }
        let (schemes, hosts) = (list(.xForwardedProto), list(.xForwardedHost))
        var hops = list(.xForwardedFor).map { Hop(address: address($0)) }
        if hops.isEmpty { hops = [Hop()] }
        // Proxies that set one value for all, and those that add one each, agree at the end of the list.
        for (index, scheme) in zip(hops.indices.reversed(), schemes.reversed()) { hops[index].scheme = scheme }
        for (index, host) in zip(hops.indices.reversed(), hosts.reversed()) { hops[index].host = host }
        for index in hops.indices.reversed().dropFirst() {
            hops[index].scheme = hops[index].scheme ?? hops[index + 1].scheme
            hops[index].host = hops[index].host ?? hops[index + 1].host
        }
        return hops
    }

    private static func forwarded(_ headers: HTTPFields) -> [Hop] {
        headers[values: .forwarded].flatMap { elements($0) }.map { pairs in
            Hop(address: pairs["for"].flatMap(address), scheme: pairs["proto"], host: pairs["host"])
        }
    }

    /// `for=192.0.2.43;proto=https, for="[2001:db8::1]:4711"`; nothing of a value that isn't like that.
    private static func elements(_ value: String) -> [[String: String]] {
        var elements: [[String: String]] = [[:]]
        var (name, text): (String, String) = ("", "")
        var (isValue, isQuoted, isEscaped) = (false, false, false)
        func end(_ pairs: inout [String: String]) {
            let key = name.trimmingBlanks().lowercased()
            if !key.isEmpty, pairs[key] == nil { pairs[key] = text.trimmingBlanks() }
            (name, text, isValue) = ("", "", false)
        }
        for character in value {
            if isQuoted {
                if isEscaped {
                    text.append(character)
                    isEscaped = false
                } else if character == "\\" {
                    isEscaped = true
                } else if character == "\"" {
                    isQuoted = false
                } else {
                    text.append(character)
                }
                continue
            }
            switch character {
            case "\"" where isValue: isQuoted = true
            case "=" where !isValue: isValue = true
            case ";": end(&elements[elements.count - 1])
            case ",":
                end(&elements[elements.count - 1])
                elements.append([:])
            default: if isValue { text.append(character) } else { name.append(character) }
            }
        }
        guard !isQuoted else { return [] }
        end(&elements[elements.count - 1])
        return elements
    }

    /// The address in `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`, as we write it; nil for anything else.
    private static func address(_ text: String) -> String? {
        if let address = IPAddress(text) { return "\(address)" }
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            return IPAddress(String(text[text.index(after: text.startIndex)..<end])).map { "\($0)" }
        }
        return text.split(separator: ":", omittingEmptySubsequences: false).first.flatMap {
            IPAddress(String($0)).map { "\($0)" }
        }
    }
}

extension StringProtocol {
    func trimmingBlanks() -> String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
