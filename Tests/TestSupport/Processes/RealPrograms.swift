// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Runs a program of this machine to its end and returns what it printed. Throws with that text when it fails.
@discardableResult
package func run(
    _ program: String,
    _ arguments: [String],
    within limit: Duration = .seconds(60)
) async throws -> String {
    let process = try TestProcess("/usr/bin/env", [program] + arguments)
    let status = try await process.exitStatus(within: limit)
    let text = process.lines.joined(separator: "\n")
    guard status == 0 else {
        throw TestSupportError("\(program) \(arguments.joined(separator: " ")) ended with \(status):\n\(text)")
    }
    return text
}

/// Debian's `docker-registry`, with a storage of its own. Its lines are its access log.
package final class DockerRegistry: Sendable {
    package let port: Int
    private let process: TestProcess
    private let folder: TemporaryDirectory

    package init() async throws {
        folder = try TemporaryDirectory()
        port = try freePort()
        let configuration = """
            version: 0.1
            log: {level: info}
            storage: {filesystem: {rootdirectory: \(folder.path)/data}, delete: {enabled: true}}
            http: {addr: "127.0.0.1:\(port)"}
            """
        let file = folder.path + "/config.yml"
        try configuration.write(toFile: file, atomically: true, encoding: .utf8)
        process = try TestProcess("/usr/bin/env", ["docker-registry", "serve", file])
        let client = TestClient("http://127.0.0.1:\(port)")
        try await eventually("docker-registry answers") {
            let answer = try? await client.get("/v2/")  // not yet listening
            return answer?.status == 200
        }
    }

    package var lines: [String] { process.lines }

    package func stop() async throws { try await process.stop() }
}
