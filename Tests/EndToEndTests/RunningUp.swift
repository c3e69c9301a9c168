// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import TestSupport

/// `entrepot up` as an operator runs it, serving.
struct RunningUp {
    let process: TestProcess
    /// Port of the first frontend.
    let port: Int
    let data: String

    /// A client of the first frontend.
    var registry: TestClient { TestClient("http://127.0.0.1:\(port)") }

    /// - Parameters:
    ///   - prefix: words that the command line begins with, such as a program that changes the user
    ///   - program: the executable; nil for the one that was built
    static func start(
        data: String,
        _ arguments: [String] = [],
        frontends: Int = 1,
        environment: [String: String] = [:],
        prefix: [String] = [],
        program: String? = nil
    ) async throws -> RunningUp {
        let port = try freePorts(frontends)
        let words =
            prefix + [
                try program ?? Executables.path("entrepot"), "up", "--data", data, "--listen", "127.0.0.1:\(port)",
            ]
            + arguments
        let process = try await TestProcess(words[0], Array(words.dropFirst()), environment: environment)
        let ready = try await process.line(containing: "ready: ")
        guard ready == "ready: http://127.0.0.1:\(port)" else { throw TestSupportError(ready) }
        return RunningUp(process: process, port: port, data: data)
    }

    /// Living processes that have to do with the data folder, `up` included, with their command lines.
    var processes: [Int32: String] {
        get throws { try Self.processes(of: data) }
    }

    static func processes(of data: String) throws -> [Int32: String] {
        var found: [Int32: String] = [:]
        for id in try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap({ Int32($0) }) {
            // Processes come and go, and not all of them are ours: what can't be read has nothing to tell.
            func read(_ name: String) -> String {
                FileManager.default.contents(atPath: "/proc/\(id)/\(name)").map { String(decoding: $0, as: UTF8.self) }
                    ?? ""
            }
            let commandLine = read("cmdline")
            let folder = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(id)/cwd")
            let isOurs = commandLine.contains(data) || read("environ").contains(data) || folder?.hasPrefix(data) == true
            if isOurs, !commandLine.isEmpty { found[id] = commandLine.split(separator: "\0").joined(separator: " ") }
        }
        return found
    }

    /// The process of a program: `registry-frontend`, `upstream-fetcher`, or `postgres` for the one that leads them.
    func processes(running program: String) throws -> Set<Int32> {
        let path = try Regex("^\\S*/\(program)( -D .*)?$")
        return Set(try processes.filter { $0.value.contains(path) }.keys)
    }
}
