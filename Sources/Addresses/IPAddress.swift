// SPDX-License-Identifier: Apache-2.0

package import Glibc

/// An IPv4 or IPv6 address.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16 bytes in network order.
    package let bytes: [UInt8]

    package static let unspecified = IPAddress(bytes: [0, 0, 0, 0])

    package init(bytes: [UInt8]) {
        precondition(bytes.count == 4 || bytes.count == 16, "an address has 4 or 16 bytes")
        self.bytes = bytes
    }

    /// Four decimal numbers, or RFC 4291 text. Octal, hexadecimal and short forms are no addresses here: programs differ
    /// in what they make of them.
    package init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(bytes: Array(bytes[..<4]))
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(bytes: bytes)
        } else {
            return nil
        }
    }

    /// Any text that some program takes for an address, the forms of `inet_aton` included: to refuse by, not to go to.
    package init?(lenient text: String) {
        var address = in_addr()
        if inet_aton(text, &address) != 0 {
            self.init(bytes: withUnsafeBytes(of: address) { Array($0) })
        } else {
            self.init(text)
        }
    }

    package var isIPv4: Bool { bytes.count == 4 }

    /// The IPv4 address that an IPv6 address stands for, in any of the forms that networks translate: mapped, compatible,
    /// 6to4, NAT64, Teredo. Nil for one that stands for itself.
    package var embeddedIPv4: IPAddress? {
        guard bytes.count == 16 else { return nil }
        func v4(_ start: Int) -> IPAddress { IPAddress(bytes: Array(bytes[start..<start + 4])) }
        let startsWithZeros = bytes[..<10].allSatisfy { $0 == 0 }
        if startsWithZeros, bytes[10] == 0xFF, bytes[11] == 0xFF { return v4(12) }
        if startsWithZeros, bytes[10] == 0, bytes[11] == 0, bytes[12...].contains(where: { $0 != 0 }),
            Array(bytes[12...]) != [0, 0, 0, 1]
        {
            return v4(12)
        }
        if bytes[0] == 0x20, bytes[1] == 0x02 { return v4(2) }
        // The well-known prefix only: a network's own one (RFC 8215) may have the address elsewhere.
        if Array(bytes[..<12]) == [0x00, 0x64, 0xFF, 0x9B] + [UInt8](repeating: 0, count: 8) { return v4(12) }
        if Array(bytes[..<4]) == [0x20, 0x01, 0x00, 0x00] {
            return IPAddress(bytes: bytes[12...].map { $0 ^ 0xFF })
        }
        return nil
    }

    package var description: String {
        var buffer = [CChar](repeating: 0, count: 64)
        let family = isIPv4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil else { return "?" }
        return buffer.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "?" }
    }

    /// Address and port of a socket address; nil for a family that isn't IP.
    package static func from(_ address: UnsafeMutablePointer<sockaddr>) -> (IPAddress, Int)? {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
                let bytes = withUnsafeBytes(of: pointer.pointee.sin_addr) { Array($0) }
                return (IPAddress(bytes: bytes), Int(UInt16(bigEndian: pointer.pointee.sin_port)))
            }
        case AF_INET6:
            return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
                let bytes = withUnsafeBytes(of: pointer.pointee.sin6_addr) { Array($0) }
                return (IPAddress(bytes: bytes), Int(UInt16(bigEndian: pointer.pointee.sin6_port)))
            }
        default:
            return nil
        }
    }
}

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`.
package struct CIDR: Hashable, Sendable, CustomStringConvertible {
    private let address: IPAddress
    private let length: Int

    /// Throws ``AddressError``. A single address is the range of itself.
    package init(_ text: String) throws(AddressError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else {
            throw AddressError("\"\(text)\" is no address or CIDR")
        }
        let bits = address.bytes.count * 8
        guard let length = parts.count == 2 ? Int(parts[1]) : bits, (0...bits).contains(length) else {
            throw AddressError("\"\(text)\" needs a prefix length of 0 to \(bits)")
        }
        self.address = address
        self.length = length
    }

    package func contains(_ other: IPAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        for index in address.bytes.indices {
            let bits = min(8, max(0, length - index * 8))
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> bits)
            guard address.bytes[index] & mask == other.bytes[index] & mask else { return false }
        }
        return true
    }

    package var description: String { "\(address)/\(length)" }
}

/// Text that is no address, network or host. The message names it.
package struct AddressError: Error, CustomStringConvertible, Sendable {
    package let description: String

    package init(_ description: String) { self.description = description }
}
