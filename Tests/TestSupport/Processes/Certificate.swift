// SPDX-License-Identifier: Apache-2.0

/// A key and a certificate for 127.0.0.1 that signs itself: whoever trusts it as an authority trusts its holder.
package final class Certificate: Sendable {
    private let folder: TemporaryDirectory

    package var keyFile: String { folder.path + "/key.pem" }
    package var certificateFile: String { folder.path + "/cert.pem" }

    package init() async throws {
        folder = try TemporaryDirectory()
        try await run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", keyFile, "-out",
                certificateFile,
            ]
        )
    }
}
