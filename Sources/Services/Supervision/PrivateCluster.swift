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
    private let logger: Logger

    package init(programs: PostgresPrograms, folder: DataFolder, logger: Logger) {
        self.programs = programs
        self.folder = folder
        self.logger = logger
    }

    /// How to reach a database of the cluster.
    package func connectionString(database: String) -> String {
        "host='\(folder.socketFolder)' user=\(Self.role) dbname=\(database)"
    }

    /// Makes the cluster's folders, and the cluster if there is none.
    package func prepare() async throws {
        try Setpriv.check()
        for path in [folder.database, folder.socketFolder] { try makeFolder(path) }
        guard !FileManager.default.fileExists(atPath: folder.database + "/PG_VERSION") else { return }
        logger.notice("making a database cluster", metadata: ["folder": "\(folder.database)"])
        let result = try await Subprocess.run(
            .path(FilePath(Setpriv.path)),
            arguments: Arguments(
                Setpriv.arguments(account: account, deathSignal: SIGTERM) + [
                    programs.initdb, "-D", folder.database, "-U", Self.role, "--auth=trust", "--encoding=UTF8",
                    "--locale=C",
                ]
            ),
            workingDirectory: "/",
            output: .string(limit: 256 * 1024),
            error: .combinedWithOutput
        )
        guard result.terminationStatus.isSuccess else {
            throw SupervisionError("initdb failed in \(folder.database):\n\(result.standardOutput)")
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
            "-c", "max_connections=200",
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

    private func makeFolder(_ path: String) throws {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw SupervisionError("\(path) can't be made: \(String(cString: strerror(errno)))")
        }
        guard geteuid() == 0 else { return }
        guard let account = getpwnam(Self.accountForRoot) else {
            throw SupervisionError(
                "PostgreSQL doesn't run as root and there is no account \"\(Self.accountForRoot)\": "
                    + "install the package postgresql, or start this as an ordinary user"
            )
        }
        guard chown(path, account.pointee.pw_uid, account.pointee.pw_gid) == 0 else {
            throw SupervisionError("\(path) can't be given to \(Self.accountForRoot)")
        }
        try checkReachable(path, by: account.pointee.pw_uid)
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
                        + "this is started by root: choose another folder with --data"
                )
            }
        }
    }
}
