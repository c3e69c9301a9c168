// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import HummingbirdCore
import HummingbirdHTTP2
import Logging
import Metrics
import NIOCore
import NIOSSL
import ServiceLifecycle
import Synchronization

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

    /// Reads both. Throws ``TLSFileError`` that names the one that can't be used.
    package func check() throws { _ = try load() }

    fileprivate func load() throws -> (configuration: TLSConfiguration, expiry: time_t) {
        let chain: [NIOSSLCertificate]
        do { chain = try NIOSSLCertificate.fromPEMBytes(try read(certificate)) } catch let error as TLSFileError {
            throw error
        } catch {
            throw TLSFileError(path: certificate, reason: "no certificates in PEM")
        }
        guard let own = chain.first else { throw TLSFileError(path: certificate, reason: "no certificates in PEM") }
        let privateKey: NIOSSLPrivateKey
        do { privateKey = try NIOSSLPrivateKey(bytes: try read(key), format: .pem) } catch let error as TLSFileError {
            throw error
        } catch {
            throw TLSFileError(path: key, reason: "no private key in PEM")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(privateKey)
        )
        configuration.minimumTLSVersion = .tlsv12
        do { _ = try NIOSSLContext(configuration: configuration) } catch {
            throw TLSFileError(path: key, reason: "isn't the key of \(certificate)")
        }
        return (configuration, own.notValidAfter)
    }

    private func read(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw TLSFileError(path: path, reason: "can't be read")
        }
        return Array(data)
    }

    /// Changes when one of the files does, also when a link to it does.
    fileprivate var version: [String] {
        [certificate, key].map { path in
            var status = stat()
            guard stat(path, &status) == 0 else { return "none" }
            let changed = status.st_mtim
            return "\(status.st_dev) \(status.st_ino) \(status.st_size) \(changed.tv_sec) \(changed.tv_nsec)"
        }
    }
}

/// A certificate or key that can't be used.
package struct TLSFileError: Error, CustomStringConvertible, Sendable {
    /// Which file.
    package let path: String
    package let reason: String

    package var description: String { "\(path): \(reason)" }
}

/// TLS, with HTTP/2 for clients that ask for it (ALPN, RFC 7301), else HTTP/1.1. A certificate that has changed is taken
/// up by the next connection.
struct SecureChannel: ServerChildChannel, Service {
    typealias Value = HTTP2UpgradeChannel.Value

    private static let handshakePatience: TimeAmount = .seconds(10)

    private final class State: Sendable {
        let current: Mutex<(channel: HTTP2UpgradeChannel, version: [String])>

        init(_ channel: HTTP2UpgradeChannel, _ version: [String]) {
            current = Mutex((channel: channel, version: version))
        }
    }

    private let files: TLSFiles
    private let interval: Duration
    private let make: @Sendable (TLSConfiguration) throws -> HTTP2UpgradeChannel
    private let logger: Logger
    private let state: State
    private let expiry = Meter(label: "entrepot_tls_certificate_expiry_timestamp_seconds")
    private let failures = Counter(label: "entrepot_tls_reload_failures_total")

    /// - Parameter interval: how often the files are looked at
    /// - Throws: ``TLSFileError``
    init(
        _ files: TLSFiles,
        every interval: Duration,
        http1: HTTP1Channel.Configuration,
        responder: @escaping HTTPChannelHandler.Responder,
        logger: Logger
    ) throws {
        self.files = files
        self.interval = interval
        self.logger = logger
        make = { tls in
            try HTTP2UpgradeChannel(
                tlsConfiguration: tls,
                configuration: HTTP2ChannelConfiguration(
                    idleTimeout: http1.idleTimeout.map { .nanoseconds($0.nanoseconds) },
                    gracefulCloseTimeout: nil,
                    streamConfiguration: http1
                ),
                responder: responder
            )
        }
        let version = files.version
        let (configuration, end) = try files.load()
        state = State(try make(configuration), version)
        expiry.set(end)
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let value = state.current.withLock { $0.channel }.setup(channel: channel, logger: logger)
        do {
            let pipeline = channel.pipeline.syncOperations
            let tls = try pipeline.handler(type: NIOSSLServerHandler.self)
            try pipeline.addHandler(HandshakeDeadline(Self.handshakePatience), position: .after(tls))
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return value
    }

    func handle(value: Value, logger: Logger) async {
        await state.current.withLock { $0.channel }.handle(value: value, logger: logger)
    }

    /// Looks after the files until cancelled.
    func run() async throws {
        while !Task.isCancelled {
            do { try await Task.sleep(for: interval) } catch { return }
            let version = files.version
            guard version != state.current.withLock({ $0.version }) else { continue }
            do {
                let (configuration, end) = try files.load()
                let channel = try make(configuration)
                state.current.withLock { $0 = (channel, version) }
                expiry.set(end)
                logger.notice("certificate reloaded", metadata: ["file": "\(files.certificate)"])
            } catch {
                // Told once for each change: one of the two files may be on its way still.
                state.current.withLock { $0.version = version }
                failures.increment()
                logger.error("changed certificate can't be used, the old one stays", metadata: ["error": "\(error)"])
            }
        }
    }
}
