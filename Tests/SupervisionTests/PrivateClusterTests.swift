// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Supervision

@Suite("Private cluster")
struct PrivateClusterTests {
    private static let isRoot = geteuid() == 0

    private let parent: TemporaryDirectory
    private var logger = Logger(label: "cluster")

    init() throws {
        parent = try TemporaryDirectory()
        logger.logLevel = .critical
    }

    private func cluster(_ folder: DataFolder, programs: PostgresPrograms? = nil) throws -> PrivateCluster {
        PrivateCluster(programs: try programs ?? .find(), folder: folder, logger: logger)
    }

    private func mode(_ path: String) throws -> (permissions: mode_t, owner: uid_t) {
        var status = stat()
        try #require(stat(path, &status) == 0, "\(path)")
        return (status.st_mode & 0o777, status.st_uid)
    }

    /// Runs the server while `body` runs.
    private func serve(_ cluster: PrivateCluster, _ body: () async throws -> Void) async throws {
        let server = ChildProcess(cluster.server(), output: { _ in }, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let result: Result<Void, any Error>
            do { result = .success(try await body()) } catch { result = .failure(error) }
            server.stop()
            try await group.waitForAll()
            try result.get()
        }
    }

    private func ask(_ cluster: PrivateCluster, _ statement: String) async throws -> String {
        let process = try await TestProcess(
            "/usr/bin/env",
            ["psql", "-XAtc", statement, cluster.connectionString(database: "postgres")]
        )
        _ = try await process.exitStatus()
        return process.lines.joined(separator: "\n")
    }

    @Test("a cluster is made once, runs unprivileged, is reached by its socket only, ends cleanly, and keeps its data")
    func life() async throws {
        // Spaces and quotes are no reason to look for another place.
        let folder = try DataFolder(parent.path + "/my \"data\" folder")
        let cluster = try cluster(folder)
        try await cluster.prepare()
        for path in [folder.database, folder.socketFolder] {
            let (permissions, owner) = try mode(path)
            #expect(permissions == 0o700)
            #expect(Self.isRoot ? owner != 0 : owner == geteuid())
        }
        try await serve(cluster) {
            try await eventually("the server answers") { try await ask(cluster, "SELECT 1") == "1" }
            #expect(try await ask(cluster, "SHOW listen_addresses") == "")
            #expect(try mode(folder.socketFolder + "/.s.PGSQL.5432").permissions == 0o700)
            #expect(try await ask(cluster, "CREATE TABLE kept ()") == "CREATE TABLE")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.database + "/postmaster.pid"), "it was not shut down")
        try await cluster.prepare()
        try await serve(cluster) {
            try await eventually("the server answers again") { try await ask(cluster, "SELECT 1") == "1" }
            #expect(try await ask(cluster, "SELECT count(*) FROM kept") == "0")
        }
    }

    @Test("a cluster that was left half made is made again")
    func halfMade() async throws {
        let programs = parent.path + "/bin"
        try FileManager.default.createDirectory(atPath: programs, withIntermediateDirectories: true)
        let initdb = """
            #!/bin/sh
            echo 15 > "$2/PG_VERSION"
            echo "out of luck"
            kill -KILL $$
            """
        try initdb.write(toFile: programs + "/initdb", atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: programs + "/initdb")
        let folder = try DataFolder(parent.path + "/data")
        let error = await #expect(throws: SupervisionError.self) {
            try await cluster(folder, programs: PostgresPrograms(folder: programs)).prepare()
        }
        #expect(error?.description.contains("out of luck") == true)
        try await cluster(folder).prepare()
        #expect(FileManager.default.fileExists(atPath: folder.database + "/global/pg_control"))
    }

    @Test("a folder that PostgreSQL's account can't reach is refused by its name", .enabled(if: isRoot))
    func unreachable() async throws {
        let closed = parent.path + "/closed"
        try FileManager.default.createDirectory(atPath: closed, withIntermediateDirectories: false)
        #expect(chmod(closed, 0o700) == 0)
        let cluster = try cluster(DataFolder(closed + "/data"))
        let error = await #expect(throws: SupervisionError.self) { try await cluster.prepare() }
        #expect(error?.description.hasPrefix("\(closed) can't be entered by the account postgres") == true)
    }

    @Test(
        "a socket folder in /tmp that somebody else prepared is refused",
        .enabled(if: isRoot),
        arguments: [false, true]
    )
    func foreignSocketFolder(isLink: Bool) async throws {
        let folder = try DataFolder(parent.path + "/" + String(repeating: "long", count: 25))
        let place = folder.socketFolder
        let target = parent.path + "/target"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: false)
        if isLink {
            try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: target)
        } else {
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        }
        #expect(lchown(place, 65_534, 65_534) == 0)
        defer { if unlink(place) != 0 { rmdir(place) } }
        let cluster = try cluster(folder)
        let error = await #expect(throws: SupervisionError.self) { try await cluster.prepare() }
        #expect(error?.description.contains(place) == true)
        #expect(try mode(target).owner == 0, "it was given away through the link")
    }
}
