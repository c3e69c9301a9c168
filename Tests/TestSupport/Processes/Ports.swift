// SPDX-License-Identifier: Apache-2.0

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
    return RawSocket.bind(descriptor, port: port) != nil
}

/// A TCP port of the loopback address that is taken, and where nobody listens, for as long as this lives: connections to it
/// are refused, whatever else the machine does.
package final class ClosedPort: Sendable {
    package let port: Int
    private let descriptor: Int32

    package init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard let port = RawSocket.bind(descriptor) else {
            close(descriptor)
            throw TestSupportError("no free port")
        }
        (self.descriptor, self.port) = (descriptor, port)
    }

    deinit { close(descriptor) }
}
