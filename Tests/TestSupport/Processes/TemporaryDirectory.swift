// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// A folder that goes when the last one who holds it lets go.
package final class TemporaryDirectory: Sendable {
    /// Bytes that all tests' databases and storages take, with room to spare.
    private static let wholeBytes: UInt64 = 8 << 30
    /// Whether memory has room for databases and storages too: hundreds of them keep a disk so busy that what tests wait
    /// for takes too long.
    static var isMemoryRoomy: Bool {
        var memory = statvfs()
        return statvfs("/dev/shm", &memory) == 0 && UInt64(memory.f_bavail) * UInt64(memory.f_frsize) >= wholeBytes
    }

    package let path: String

    /// - Parameter isInMemory: for files that the test's own threads write. They block until a file is durable, and a busy
    ///   disk can take half a minute for that, in which no other test goes on.
    package init(isInMemory: Bool = false) throws {
        let folder = isInMemory ? "/dev/shm" : "/tmp"
        // Short: podman wants no more than 50 characters, a Unix socket's path not many more.
        path = "\(folder)/entrepot-\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }  // what stays is in the way of nobody
}

/// Polls a condition that lives in another process, where there is nothing to wait on.
package func eventually(
    _ what: String,
    within limit: Duration = .seconds(60),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw TestSupportError("never happened: \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// Cuts a file short, as a failing disk or a careless hand would. Works on read-only files, too.
package func truncateFile(_ path: String, to size: Int) throws {
    guard chmod(path, 0o640) == 0, truncate(path, size) == 0 else {
        throw TestSupportError("\(path) can't be truncated")
    }
}

package func removeFile(_ path: String) throws {
    guard unlink(path) == 0 else { throw TestSupportError("\(path) can't be removed") }
}

/// Bytes of a file.
package func fileSize(_ path: String) throws -> Int {
    var status = stat()
    guard stat(path, &status) == 0 else { throw TestSupportError("\(path) isn't there") }
    return status.st_size
}

/// Permission bits of a file or folder.
package func permissions(of path: String) throws -> UInt32 {
    var status = stat()
    guard stat(path, &status) == 0 else { throw TestSupportError("\(path) isn't there") }
    return UInt32(status.st_mode & 0o777)
}
