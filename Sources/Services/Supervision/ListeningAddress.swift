// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Where a service is going to listen.
package enum ListeningAddress {
    /// Throws ``SupervisionError`` when nobody could listen there now. A service would only try again and again, and
    /// whoever answers at its address in its place could be taken for it.
    package static func check(host: String, port: Int) throws {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &found)
        guard status == 0, let address = found?.pointee else {
            throw SupervisionError("can't listen at \(host): \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(found) }
        let descriptor = socket(address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        // As servers do: connections that have ended don't count.
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, address.ai_addr, address.ai_addrlen) == 0 else {
            throw SupervisionError("can't listen at \(host):\(port): \(String(cString: strerror(errno)))")
        }
    }
}
