// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// Everything that `entrepot up` keeps, in one folder.
package final class DataFolder: Sendable {
    /// Longest path of a Unix socket that Linux takes, with its final zero.
    private static let maximumSocketPathBytes = 107

    package let path: String
    private let lock: Int32

    package var database: String { path + "/postgres" }
    package var storage: String { path + "/storage" }
    /// The private key of this machine's fetchers.
    package var fetcherKey: String { path + "/fetcher-key" }

    /// A login of whoever may read this folder.
    package var operatorLogin: String { Self.operatorLogin(of: path) }

    package static func operatorLogin(of path: String) -> String { path + "/operator.json" }

    /// Folder of the database's socket: inside, unless its path would be too long for a socket, or has a character that
    /// can't be written in a connection string (a comma separates hosts there, and nothing quotes it).
    package var socketFolder: String { Self.socketFolder(under: path) }

    static func socketFolder(under path: String) -> String {
        let inside = path + "/run"
        if (inside + "/.s.PGSQL.5432").utf8.count <= Self.maximumSocketPathBytes, !inside.contains(/[,'\\]/) {
            return inside
        }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in path.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return "/tmp/entrepot-\(geteuid())-\(String(hash, radix: 16))"
    }

    /// Makes the folder if need be and takes its lock, which lasts as long as this process.
    /// - Throws: ``SupervisionError`` when it can't be made or another `up` uses it.
    package init(_ path: String) throws {
        let absolute = Self.absolute(path)
        self.path = absolute
        do {
            try FileManager.default.createDirectory(atPath: absolute, withIntermediateDirectories: true)
        } catch {
            throw SupervisionError("data folder \(absolute) can't be made: \(error.localizedDescription)")
        }
        lock = open(absolute + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw SupervisionError("data folder \(absolute) isn't writable") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            throw SupervisionError("data folder \(absolute) is in use by another `entrepot up`")
        }
    }

    deinit {
        // Said, not left to closing: a child that starts at this moment shares the file until it runs its own program.
        _ = flock(lock, LOCK_UN)
        close(lock)
    }

    static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    }
}
