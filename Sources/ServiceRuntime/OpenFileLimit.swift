// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// How many files, sockets included, a process may have open.
enum OpenFileLimit {
    /// More than a service comes to need, and less than what the kernel keeps tables for without a word.
    private static let enough: rlim_t = 1 << 20

    /// Raises the soft limit as far as this process may. It is 1,024 in most places for the sake of select(2), which nothing
    /// here uses, and a client that is sent a blob takes three.
    /// - Throws: `POSIXError`
    static func raise() throws {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EINVAL) }
        let wanted = min(limit.rlim_max, enough)
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = wanted
        guard setrlimit(resource, &limit) == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EINVAL) }
    }
}
