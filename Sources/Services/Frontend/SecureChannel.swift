// SPDX-License-Identifier: Apache-2.0

import HummingbirdCore
import Logging
import Metrics
import NIOCore
import NIOHTTP2
import NIOHTTPTypes
import NIOHTTPTypesHTTP2
import NIOSSL
import ServiceLifecycle
import Synchronization

/// TLS, with HTTP/2 for clients that ask for it (ALPN, RFC 7301), else HTTP/1.1. A certificate that has changed is taken
/// up by the next connection.
struct SecureChannel: ServerChildChannel, Service {
    /// A connection of HTTP/1.1, or a stream of HTTP/2: either way requests come in, and answers go out.
    typealias Messages = HTTP1Channel.Value
    typealias Streams = NIOHTTP2Handler.AsyncStreamMultiplexer<Messages>

    struct Value: ServerChildChannelValue {
        let negotiated: EventLoopFuture<NIONegotiatedHTTPVersion<Messages, Streams>>
        let channel: any Channel
    }

    private final class Current: Sendable {
        let value: Mutex<(context: NIOSSLContext, content: TLSFiles.Content)>

        init(_ context: NIOSSLContext, _ content: TLSFiles.Content) {
            value = Mutex((context: context, content: content))
        }
    }

    private let files: TLSFiles
    private let interval: Duration
    private let registry: RegistryChannel
    private let patience: TimeAmount
    private let logger: Logger
    private let current: Current
    private let expiry = Meter(label: "entrepot_tls_certificate_expiry_timestamp_seconds")
    private let failures = Counter(label: "entrepot_tls_reload_failures_total")

    /// - Parameters:
    ///   - interval: how often the files are looked at
    ///   - registry: what answers, with limits that hold for HTTP/2 as well
    ///   - patience: how long a client may say nothing after its handshake
    /// - Throws: ``TLSFileError``
    init(
        _ files: TLSFiles,
        every interval: Duration,
        registry: RegistryChannel,
        patience: TimeAmount,
        logger: Logger
    ) throws {
        self.files = files
        self.interval = interval
        self.registry = registry
        self.patience = patience
        self.logger = logger
        let content = files.read()
        let (context, end) = try files.load(content)
        current = Current(context, content)
        expiry.set(end)
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let context = current.value.withLock { $0.context }
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(IdleStateHandler(allTimeout: patience))
            try pipeline.addHandler(NIOSSLServerHandler(context: context))
            try pipeline.addHandler(ConnectionDeadlines())
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return channel.configureHTTP2AsyncSecureUpgrade { channel in
            registry.setup(channel: channel, logger: logger)
        } http2ConnectionInitializer: { channel in
            channel.eventLoop.makeCompletedFuture { try setupHTTP2(channel, logger) }
        }
        .map { Value(negotiated: $0, channel: channel) }
    }

    private func setupHTTP2(_ channel: any Channel, _ logger: Logger) throws -> Streams {
        let limits = registry.http1.configuration
        let lifetime = NIOHTTP2ServerConnectionManagementHandler(
            eventLoop: channel.eventLoop,
            configuration: .init(maxIdleTime: limits.idleTimeout, maxAge: nil, maxGraceTime: nil, keepalive: nil)
        )
        var configuration = NIOHTTP2Handler.Configuration()
        configuration.connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: 100),
            HTTP2Setting(
                parameter: .maxHeaderListSize,
                value: registry.http1.configuration.httpDecoder.maxHeaderListSize
            ),
        ]
        // Clients that fetch a layer in steps of a few MiB reset a stream and ping for each, some ten times in a second.
        configuration.stream.streamResetFrameRateLimit.maximumCount = 2_000
        configuration.connection.controlFrameRateLimit.maximumCount = 2_000
        let pipeline = channel.pipeline.syncOperations
        let streams = try pipeline.configureAsyncHTTP2Pipeline(
            mode: .server,
            streamDelegate: lifetime.http2StreamDelegate,
            configuration: configuration
        ) { stream in
            stream.eventLoop.makeCompletedFuture {
                let pipeline = stream.pipeline.syncOperations
                try pipeline.addHandler(HTTP2FramePayloadToHTTPServerCodec())
                try pipeline.addHandler(
                    HTTPConnectionStateHandler(idleTimeout: limits.idleTimeout.map { .init($0) }, logger: logger)
                )
                try pipeline.addHandler(registry.handler(on: stream.eventLoop))
                return try Messages(wrappingChannelSynchronously: stream)
            }
        }
        try pipeline.addHandler(lifetime)
        return streams
    }

    func handle(value: Value, logger: Logger) async {
        do {
            switch try await value.negotiated.get() {
            case .http1_1(let connection):
                await registry.handle(value: connection, logger: logger)
            case .http2(let streams):
                try await withThrowingDiscardingTaskGroup { group in
                    for try await stream in streams.inbound {
                        group.addTask { await registry.handle(value: stream, logger: logger) }
                    }
                }
            }
        } catch {
            // Clients come and go; scanners of ports and those that don't know our authority don't get this far.
            logger.debug("connection ended", metadata: ["error": "\(error)"])
        }
    }

    /// Looks after the files until cancelled.
    func run() async throws {
        while !Task.isCancelled {
            do { try await Task.sleep(for: interval) } catch { return }
            let content = files.read()
            guard content != current.value.withLock({ $0.content }) else { continue }
            do {
                let (context, end) = try files.load(content)
                current.value.withLock { $0 = (context, content) }
                expiry.set(end)
                logger.notice("certificate reloaded", metadata: ["file": "\(files.certificate)"])
            } catch {
                // Told once for each change: one of the two files may be on its way still.
                current.value.withLock { $0.content = content }
                failures.increment()
                logger.error("changed certificate can't be used, the old one stays", metadata: ["error": "\(error)"])
            }
        }
    }
}
