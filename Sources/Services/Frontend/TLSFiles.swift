// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOHTTP2
import NIOSSL

/// The files that TLS needs.
package struct TLSFiles: Sendable, Hashable {
    /// PEM: the server's certificate, then those that lead to its authority.
    package let certificate: String
    /// PEM, without a password.
    package let key: String

    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }

    /// Throws ``TLSFileError`` that names the one that can't be used.
    package func check() throws { _ = try load(read()) }

    /// What the files hold; nil for one that can't be read.
    struct Content: Hashable {
        fileprivate let certificate: Data?
        fileprivate let key: Data?
    }

    func read() -> Content {
        Content(
            certificate: FileManager.default.contents(atPath: certificate),
            key: FileManager.default.contents(atPath: key)
        )
    }

    /// What connections are made with, and when the certificate ends. Throws ``TLSFileError``.
    func load(_ content: Content) throws -> (context: NIOSSLContext, expiry: time_t) {
        let chain = try parse(content.certificate, of: .certificate, as: "certificates") {
            try NIOSSLCertificate.fromPEMBytes($0)
        }
        guard let own = chain.first else { throw failure(.certificate, "no certificates in PEM") }
        let privateKey = try parse(content.key, of: .key, as: "private key") {
            try NIOSSLPrivateKey(bytes: $0, format: .pem)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(privateKey)
        )
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = NIOHTTP2SupportedALPNProtocols
        do {
            return (try NIOSSLContext(configuration: configuration), own.notValidAfter)
        } catch {
            throw failure(.key, "isn't the key of \(certificate)")
        }
    }

    private func parse<Value>(
        _ data: Data?,
        of file: TLSFileError.File,
        as name: String,
        _ body: ([UInt8]) throws -> Value
    ) throws -> Value {
        guard let data else { throw failure(file, "can't be read") }
        do { return try body(Array(data)) } catch { throw failure(file, "no \(name) in PEM") }
    }

    private func failure(_ file: TLSFileError.File, _ reason: String) -> TLSFileError {
        TLSFileError(file: file, path: file == .certificate ? certificate : key, reason: reason)
    }
}

/// A certificate or key that can't be used.
package struct TLSFileError: Error, CustomStringConvertible, Sendable {
    package enum File: Sendable {
        case certificate, key
    }

    package let file: File
    package let path: String
    package let reason: String

    package var description: String { "\(path): \(reason)" }
}
