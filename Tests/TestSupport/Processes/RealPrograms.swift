// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// Runs a program of this machine to its end and returns what it printed. Throws with that text when it fails.
@discardableResult
package func run(
    _ program: String,
    _ arguments: [String],
    within limit: Duration = .seconds(120)
) async throws -> String {
    let process = try await TestProcess("/usr/bin/env", [program] + arguments)
    let status = try await process.exitStatus(within: limit)
    let text = process.lines.joined(separator: "\n")
    guard status == 0 else {
        throw TestSupportError("\(program) \(arguments.joined(separator: " ")) ended with \(status):\n\(text)")
    }
    return text
}

/// Debian's `docker-registry`. Its lines are its access log.
package final class DockerRegistry: Sendable {
    /// What stands before the registry.
    package enum Guard: Sendable {
        case none
        case tls(Certificate)
        /// Tokens of a server, signed with the certificate's key.
        case token(realm: String, Certificate)
    }

    package let port: Int
    private let process: TestProcess
    private let folder: TemporaryDirectory

    /// - Parameter storage: a folder with images already pushed; nil for a new one
    package init(_ access: Guard = .none, storage: String? = nil) async throws {
        folder = try TemporaryDirectory()
        port = try freePort()
        var configuration = """
            version: 0.1
            log: {level: info}
            storage: {filesystem: {rootdirectory: \(storage ?? folder.path + "/data")}, delete: {enabled: true}}

            """
        switch access {
        case .none:
            configuration += "http: {addr: \"127.0.0.1:\(port)\"}\n"
        case .tls(let certificate):
            configuration +=
                "http: {addr: \"127.0.0.1:\(port)\", tls: {certificate: \(certificate.certificateFile), key: \(certificate.keyFile)}}\n"
        case .token(let realm, let certificate):
            configuration +=
                "http: {addr: \"127.0.0.1:\(port)\"}\n"
                + "auth: {token: {realm: \"\(realm)\", service: registry, issuer: tests, "
                + "rootcertbundle: \(certificate.certificateFile)}}\n"
        }
        let file = folder.path + "/config.yml"
        try configuration.write(toFile: file, atomically: true, encoding: .utf8)
        process = try await TestProcess("/usr/bin/env", ["docker-registry", "serve", file])
        try await process.line(containing: "listening on")
    }

    /// Where it keeps images.
    package var storage: String { folder.path + "/data" }

    package var lines: [String] { process.lines }

    package func stop() async throws { try await process.stop() }
}

/// Debian's `tinyproxy`: an HTTP proxy that notes what passes.
package final class ForwardProxy: Sendable {
    package let port: Int
    private let process: TestProcess
    private let folder: TemporaryDirectory

    package var url: String { "http://127.0.0.1:\(port)" }
    /// What it was asked for.
    package var lines: [String] { process.lines }

    package init() async throws {
        folder = try TemporaryDirectory()
        port = try freePort()
        let configuration = """
            Port \(port)
            Listen 127.0.0.1
            Timeout 600
            MaxClients 100
            LogLevel Connect
            Allow 127.0.0.1
            """
        let file = folder.path + "/tinyproxy.conf"
        try configuration.write(toFile: file, atomically: true, encoding: .utf8)
        process = try await TestProcess("/usr/bin/env", ["tinyproxy", "-d", "-c", file])
        let client = TestClient(url)
        try await eventually("tinyproxy answers") {
            let answer = try? await client.get("/")  // not yet listening
            return answer != nil
        }
    }
}
