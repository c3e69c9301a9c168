// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// A TCP port of the loopback address that nobody uses at the moment. For programs only that can't choose a port themselves.
package func freePort() throws -> Int { try freePorts(1) }

/// The first of so many consecutive TCP ports that are free, from a range that the kernel gives to nobody by itself.
package func freePorts(_ count: Int) throws -> Int {
    for _ in 0..<100 {
        let first = Int.random(in: 10_000..<30_000)
        if (first..<first + count).allSatisfy(isFree) { return first }
    }
    throw TestSupportError("no \(count) free ports")
}

private func isFree(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

/// A TCP port of the loopback address that is taken, and where nobody listens, for as long as this lives: connections to it
/// are refused, whatever else the machine does.
package final class ClosedPort: Sendable {
    package let port: Int
    private let descriptor: Int32

    package init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        port = try Self.bindAny(descriptor)
    }

    deinit { close(descriptor) }
}

extension ClosedPort {
    fileprivate static func bindAny(_ descriptor: Int32) throws -> Int {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && getsockname(descriptor, pointer, &length) == 0
            }
        }
        guard isBound else { throw TestSupportError("no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
