// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Sockets of the loopback address, as the kernel gives them.
package enum RawSocket {
    /// A listening socket and its port.
    package static func listen(backlog: Int32) throws -> (descriptor: Int32, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard let port = bind(descriptor), Glibc.listen(descriptor, backlog) == 0 else {
            close(descriptor)
            throw TestSupportError("no listening socket: \(String(cString: strerror(errno)))")
        }
        return (descriptor, port)
    }

    /// Begins to connect, and doesn't wait for it.
    static func beginConnecting(to port: Int) -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_INET, Int32(kind), 0)
        _ = connect(descriptor, to: port)
        return descriptor
    }

    /// - Returns: whether it is connected now
    static func connect(_ descriptor: Int32, to port: Int) -> Bool {
        withLoopback(port: port) { address, length in Glibc.connect(descriptor, address, length.pointee) == 0 }
    }

    /// - Parameter port: 0 for any free one
    /// - Returns: the port; nil when it can't be had
    static func bind(_ descriptor: Int32, port: Int = 0) -> Int? {
        withLoopback(port: port) { address, length in
            guard Glibc.bind(descriptor, address, length.pointee) == 0, getsockname(descriptor, address, length) == 0
            else { return nil }
            return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                Int(UInt16(bigEndian: $0.pointee.sin_port))
            }
        }
    }

    private static func withLoopback<Result>(
        port: Int,
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Result
    ) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
    }
}

/// A port of the loopback address that neither takes nor refuses connections, as a host behind a silent firewall: its
/// queue of connections that nobody accepts is full.
package final class BlackHole: Sendable {
    package let port: Int
    private let descriptors: [Int32]

    package init() throws {
        let (listener, port) = try RawSocket.listen(backlog: 0)
        self.port = port
        descriptors = [listener] + (0..<4).map { _ in RawSocket.beginConnecting(to: port) }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}
