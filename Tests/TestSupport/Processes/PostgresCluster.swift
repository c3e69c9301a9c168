// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Glibc
import Synchronization

/// A PostgreSQL cluster for one test process, reachable through a Unix socket, gone with the process.
package final class PostgresCluster: Sendable {
    private static let account = "postgres"
    /// Starting programs and waiting for them blocks, which threads of the cooperative pool must not.
    private static let thread = DispatchQueue(label: "PostgreSQL of the tests")
    private static let start = Mutex<Result<PostgresCluster, any Error>?>(nil)

    private let folder: String
    private let programs: String
    private let databases = Atomic(0)

    /// The cluster of this process; started by the first who asks.
    package static func shared() async throws -> PostgresCluster {
        try await blocking {
            try start.withLock { start in
                if let start { return try start.get() }
                let result = Result { try PostgresCluster() }
                start = result
                return try result.get()
            }
        }
    }

    /// A cluster that its test may stop and start.
    package static func own() async throws -> PostgresCluster { try await blocking { try PostgresCluster() } }

    /// Ends the server as an operator does who restarts it: sessions are ended at once.
    package func stop() async throws {
        try await Self.blocking { [folder] in
            guard FileManager.default.createFile(atPath: folder + "/down", contents: nil) else {
                throw TestSupportError("\(folder)/down can't be made")
            }
            let server = try Self.server(in: folder)
            kill(server, SIGINT)
            let deadline = ContinuousClock.now + .seconds(60)
            while kill(server, 0) == 0 {
                guard ContinuousClock.now < deadline else {
                    kill(server, SIGQUIT)
                    throw TestSupportError("PostgreSQL doesn't stop")
                }
                usleep(10_000)  // another process: there is nothing to wait on
            }
        }
    }

    /// Has the server take no new session, and no cancellation, while `body` runs. Sessions that are open go on.
    package func frozen<Result>(_ body: () async throws -> Result) async throws -> Result {
        let server = try await Self.blocking { [folder] in try Self.server(in: folder) }
        kill(server, SIGSTOP)
        defer { kill(server, SIGCONT) }
        return try await body()
    }

    private static func server(in folder: String) throws -> Int32 {
        let lines = try String(contentsOfFile: folder + "/data/postmaster.pid", encoding: .utf8)
        guard let server = lines.split(separator: "\n").first.flatMap({ Int32($0) }) else {
            throw TestSupportError("postmaster.pid has no number")
        }
        return server
    }

    /// Starts the server again.
    package func start() async throws {
        try await Self.blocking { [folder] in
            unlink(folder + "/down")
            try self.awaitServer()
        }
    }

    /// Connection string of a new, empty database.
    /// - Parameter original: connection string of one that it is a copy of, which nobody may be connected to
    package func makeDatabase(like original: String? = nil) async throws -> String {
        let name = "test_\(databases.add(1, ordering: .relaxed).newValue)"
        let template = original?.split(separator: "dbname=").last.map { " TEMPLATE \($0)" } ?? ""
        try await Self.blocking {
            // Connections to the original end when the server comes to it, for which it waits 5 s.
            for attempt in 1... {
                do { return try self.psql("CREATE DATABASE \(name)\(template)") } catch let error as TestSupportError {
                    guard attempt < 5, error.description.contains("being accessed by other users") else { throw error }
                }
            }
        }
        return connectionString(name)
    }

    package func connectionString(_ database: String) -> String {
        "host='\(folder)' user=tester dbname=\(database)"
    }

    private init() throws {
        programs = try Self.findPrograms()
        let parent = TemporaryDirectory.isMemoryRoomy ? "/dev/shm" : "/tmp"
        folder = "\(parent)/entrepot-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try Self.run(["/bin/mkdir", "-m", "700", folder])
        let isRoot = geteuid() == 0
        if isRoot { try Self.run(["/bin/chown", Self.account, folder]) }
        let data = folder + "/data"
        try Self.run(
            Self.asAccount(isRoot) + [
                programs + "/initdb", "-D", data, "-U", "tester", "--auth=trust", "-E", "UTF8", "--locale=C", "-N",
            ]
        )
        // The guard outlives us by a moment: it waits for our death, ends the server and removes the folder. Meanwhile it
        // starts a server that has ended again, unless it is to stay down.
        let guarding = [
            "/bin/sh", "-c",
            """
            "$@" >/dev/null 2>&1 & server=$!
            while kill -0 \(getpid()) 2>/dev/null; do
                sleep 0.2
                kill -0 $server 2>/dev/null || [ -e '\(folder)/down' ] || { "$@" >/dev/null 2>&1 & server=$!; }
            done
            kill -QUIT $server; wait $server; rm -rf '\(folder)'
            """, "postgres",
        ]
        let server =
            Self.asAccount(isRoot) + [
                programs + "/postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off",
                "-c", "full_page_writes=off", "-c", "max_wal_size=256MB", "-c", "max_connections=400", "-c",
                "unix_socket_permissions=0777", "-c", "log_min_messages=panic",
            ]
        _ = try Child(guarding + server, output: nil)
        try awaitServer()
    }

    private static func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value
    {
        try await withCheckedThrowingContinuation { continuation in
            thread.async { continuation.resume(with: Result(catching: work)) }
        }
    }

    private static func asAccount(_ isRoot: Bool) -> [String] {
        isRoot ? ["/usr/bin/setpriv", "--reuid=\(account)", "--regid=\(account)", "--init-groups", "--"] : []
    }

    private func awaitServer() throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while true {
            do { return try psql("SELECT 1") } catch {
                guard ContinuousClock.now < deadline else { throw error }
                usleep(20_000)  // another process: there is nothing to wait on
            }
        }
    }

    private func psql(_ statement: String) throws {
        try Self.run([
            programs + "/psql", "-q", "-X", "-h", folder, "-U", "tester", "-d", "postgres", "-v", "ON_ERROR_STOP=1",
            "-c", statement,
        ])
    }

    private static func findPrograms() throws -> String {
        let root = "/usr/lib/postgresql"
        let versions = try FileManager.default.contentsOfDirectory(atPath: root)
        guard let newest = versions.max(by: { (Int($0) ?? 0) < (Int($1) ?? 0) }) else {
            throw TestSupportError("no PostgreSQL under \(root)")
        }
        return "\(root)/\(newest)/bin"
    }

    /// Runs a program to its end. Its output goes through a file, and its end is waited for with a deadline: a pipe that
    /// another program has inherited would never end.
    private static func run(_ words: [String]) throws {
        let path = "/tmp/entrepot-test-output-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let output = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard output != -1 else { throw TestSupportError("\(path) can't be made") }
        defer {
            close(output)
            unlink(path)
        }
        let child = try Child(words, output: output)
        guard let status = child.wait(within: .seconds(180)) else {
            child.kill(SIGKILL)
            throw TestSupportError("\(words.joined(separator: " ")) doesn't end")
        }
        guard status == 0 else {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            throw TestSupportError("\(words.joined(separator: " ")): \(text)")
        }
    }
}

/// Something that a test needs and can't have.
package struct TestSupportError: Error, CustomStringConvertible, Sendable {
    package let description: String

    package init(_ description: String) { self.description = description }
}
