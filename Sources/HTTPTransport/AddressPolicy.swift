// SPDX-License-Identifier: Apache-2.0

package import Addresses

/// Decides which addresses may be connected to. Everything that isn't plainly public is refused, unless it is listed.
///
/// Asked with the very address of the socket, so a name that changes its address between check and connection gains
/// nothing by it.
package struct AddressPolicy: Sendable, Hashable {
    private let allowed: [AllowedUpstream]
    private let isUnrestricted: Bool

    package init(allowed: [AllowedUpstream] = []) {
        self.allowed = allowed
        isUnrestricted = false
    }

    private init(isUnrestricted: Bool) {
        allowed = []
        self.isUnrestricted = isUnrestricted
    }

    /// For requests whose target an operator chose, such as our own services.
    package static let unrestricted = AddressPolicy(isUnrestricted: true)

    package func permits(address: IPAddress, port: Int, host: String) -> Bool {
        isUnrestricted || allowed.contains { $0.covers(address: address, port: port, host: host) }
            || Self.isPublic(address)
    }

    /// Neither private, local, shared, reserved nor for documentation (IANA's special-purpose registries, RFC 6890), and
    /// no IPv6 form that stands for such an IPv4 address.
    static func isPublic(_ address: IPAddress) -> Bool {
        if let embedded = address.embeddedIPv4 { return isPublic(embedded) }
        if address.isIPv4 { return !specialIPv4.contains { $0.contains(address) } }
        return globalUnicast.contains(where: { $0.contains(address) })
            && !specialIPv6.contains { $0.contains(address) }
    }

    private static let specialIPv4 = networks([
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    ])

    /// Only this block is handed out (RFC 4291 section 2.4, IANA); everything else in IPv6 is special.
    private static let globalUnicast = networks(["2000::/3"])

    private static let specialIPv6 = networks(["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"])

    private static func networks(_ texts: [String]) -> [CIDR] {
        texts.map { text in
            do { return try CIDR(text) } catch { preconditionFailure("\(error)") }
        }
    }
}

/// An exception that an operator made: a host name (with or without port), an address, or a network.
package struct AllowedUpstream: Sendable, Hashable {
    private enum Kind: Sendable, Hashable {
        case host(String, port: Int?)
        case network(CIDR)
    }

    private let kind: Kind

    /// Throws ``AddressError`` that names the text.
    package init(_ text: String) throws(AddressError) {
        let lower = text.lowercased()
        if lower.contains("/") || IPAddress(lower) != nil {
            kind = .network(try CIDR(lower))
            return
        }
        var host = Substring(lower)
        var port: Int?
        if let colon = host.lastIndex(of: ":") {
            guard let number = Int(host[host.index(after: colon)...]), (1...65_535).contains(number) else {
                throw AddressError("\"\(text)\" has no port after its colon")
            }
            port = number
            host = host[..<colon]
        }
        guard !host.isEmpty, host.utf8.count <= 253,
            host.utf8.allSatisfy({ byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E
            }), host.first != ".", host.first != "-"
        else { throw AddressError("\"\(text)\" is no host name, address or CIDR") }
        // A name made of an address and a port.
        if IPAddress(String(host)) == nil, host.split(separator: ".").last?.allSatisfy(\.isNumber) == true {
            throw AddressError("\"\(text)\" is no address, and no host name ends in a number")
        }
        kind = .host(String(host), port: port)
    }

    func covers(address: IPAddress, port: Int, host: String) -> Bool {
        switch kind {
        case .network(let network): network.contains(address)
        case .host(let name, let only): name == host && (only == nil || only == port)
        }
    }
}
