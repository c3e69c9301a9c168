// SPDX-License-Identifier: Apache-2.0

/// A TLS server whose certificate nobody trusts.
package final class SelfSignedServer: Sendable {
    package let port: Int
    private let process: TestProcess
    private let folder: TemporaryDirectory

    package init() async throws {
        folder = try TemporaryDirectory()
        port = try freePort()
        try await run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder.path + "/key.pem",
                "-out", folder.path + "/cert.pem",
            ]
        )
        process = try TestProcess(
            "/usr/bin/env",
            [
                "openssl", "s_server", "-accept", "127.0.0.1:\(port)", "-key", folder.path + "/key.pem", "-cert",
                folder.path + "/cert.pem", "-www",
            ]
        )
        try await process.line(containing: "ACCEPT")
    }
}
