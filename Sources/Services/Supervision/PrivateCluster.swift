// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
package import Logging
import Subprocess
import SystemPackage

/// A PostgreSQL cluster of our own, under the data folder, reachable through a Unix socket only.
package struct PrivateCluster: Sendable {
    private static let role = "entrepot"
    /// PostgreSQL refuses to run as root; Debian's package brings this account.
    private static let accountForRoot = "postgres"

    private let programs: PostgresPrograms
    private let folder: DataFolder
    private let maximumConnections: Int
    private let logger: Logger

    /// - Parameter maximumConnections: that the server takes
    package init(programs: PostgresPrograms, folder: DataFolder, maximumConnections: Int = 200, logger: Logger) {
        self.programs = programs
        self.folder = folder
        self.maximumConnections = maximumConnections
        self.logger = logger
    }

    /// How to reach a database of the cluster.
    package func connectionString(database: String) -> String {
        Self.connectionString(database: database, socketFolder: folder.socketFolder)
    }

    /// How to reach the database of the `entrepot up` that runs over a data folder, if one does.
    package static func connectionString(dataFolder path: String) -> String {
        connectionString(
            database: "entrepot",
            socketFolder: DataFolder.socketFolder(under: DataFolder.absolute(path))
        )
    }

    private static func connectionString(database: String, socketFolder: String) -> String {
        "host='\(socketFolder)' user=\(role) dbname=\(database)"
    }

    /// Makes the cluster's folders, and the cluster if there is none.
    package func prepare() async throws {
        try Setpriv.check()
        try makeFolder(folder.socketFolder)
        guard !FileManager.default.fileExists(atPath: folder.database + "/PG_VERSION") else {
            return try makeFolder(folder.database)
        }
        logger.notice("making a database cluster", metadata: ["folder": "\(folder.database)"])
        // It gets its name when it is complete, so that whoever is interrupted begins anew.
        let draft = folder.database + ".new"
        if FileManager.default.fileExists(atPath: draft) { try FileManager.default.removeItem(atPath: draft) }
        try makeFolder(draft)
        let result = try await Subprocess.run(
            .path(FilePath(Setpriv.path)),
            arguments: Arguments(
                Setpriv.arguments(account: account, deathSignal: SIGTERM) + [
                    programs.initdb, "-D", draft, "-U", Self.role, "--auth=trust", "--encoding=UTF8", "--locale=C",
                ]
            ),
            workingDirectory: "/",
            output: .string(limit: 256 * 1024),
            error: .combinedWithOutput
        )
        guard result.terminationStatus.isSuccess else {
            throw SupervisionError("initdb failed in \(draft):\n\(result.standardOutput)")
        }
        guard rename(draft, folder.database) == 0 else {
            throw SupervisionError("\(folder.database) can't be made: \(String(cString: strerror(errno)))")
        }
    }

    /// The server as a child process. Its stop signal asks for a fast shutdown: sessions end, nothing is lost.
    package func server() -> ChildProcess.Configuration {
        var configuration = ChildProcess.Configuration(name: "postgres", executable: programs.postgres)
        configuration.account = account
        configuration.arguments = [
            "-D", folder.database,
            "-c", "listen_addresses=",
            "-c", "unix_socket_directories=\(folder.socketFolder)",
            "-c", "unix_socket_permissions=0700",
            "-c", "max_connections=\(maximumConnections)",
            "-c", "autovacuum_naptime=10s",
            "-c", "log_min_messages=fatal",
            "-c", "log_line_prefix=",
        ]
        configuration.stopSignal = SIGINT
        configuration.stopGrace = .seconds(60)
        return configuration
    }

    /// PostgreSQL's programs run as an unprivileged user.
    private var account: String? { geteuid() == 0 ? Self.accountForRoot : nil }

    /// Makes a folder that belongs to the account which PostgreSQL runs as.
    private func makeFolder(_ path: String) throws {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw SupervisionError("\(path) can't be made: \(String(cString: strerror(errno)))")
        }
        var (user, group) = (geteuid(), getegid())
        if let account {
            guard let entry = getpwnam(account) else {
                throw SupervisionError(
                    "PostgreSQL doesn't run as root and there is no account \"\(account)\": "
                        + "install the package postgresql, or start this as an ordinary user"
                )
            }
            (user, group) = (entry.pointee.pw_uid, entry.pointee.pw_gid)
        }
        // In /tmp anybody may have taken the name, for a folder or for a link that leads elsewhere.
        var status = stat()
        guard lstat(path, &status) == 0, [geteuid(), user].contains(status.st_uid) else {
            throw SupervisionError(
                "\(path) belongs to another account: remove it, or choose another folder with --data"
            )
        }
        guard account != nil else { return }
        guard chown(path, user, group) == 0 else {
            throw SupervisionError("\(path) can't be given to \(Self.accountForRoot)")
        }
        try checkReachable(path, by: user)
    }

    /// An account can only use a folder whose parents it may pass.
    private func checkReachable(_ path: String, by user: uid_t) throws {
        var folder = path
        while let slash = folder.lastIndex(of: "/"), slash != folder.startIndex {
            folder = String(folder[..<slash])
            var status = stat()
            guard stat(folder, &status) == 0 else { continue }
            guard status.st_mode & 0o001 != 0 || status.st_uid == user else {
                throw SupervisionError(
                    "\(folder) can't be entered by the account \(Self.accountForRoot), as which PostgreSQL runs when "
                        + "this is started by root: let others pass (chmod o+x), or choose another folder with --data"
                )
            }
        }
    }
}
