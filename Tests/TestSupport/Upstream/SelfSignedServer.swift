// SPDX-License-Identifier: Apache-2.0

/// A TLS server whose certificate nobody trusts.
package final class SelfSignedServer: Sendable {
    package let port: Int
    private let process: TestProcess
    private let certificate: Certificate

    package init() async throws {
        certificate = try await Certificate()
        port = try freePort()
        process = try await TestProcess(
            "/usr/bin/env",
            [
                "openssl", "s_server", "-accept", "127.0.0.1:\(port)", "-key", certificate.keyFile, "-cert",
                certificate.certificateFile, "-www",
            ]
        )
        try await process.line(containing: "ACCEPT")
    }
}
