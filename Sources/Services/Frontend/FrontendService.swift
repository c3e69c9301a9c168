// SPDX-License-Identifier: Apache-2.0

package import Accounts
package import Blobs
package import Clair
package import HummingbirdCore
import Jobs
package import Logging
package import Models
import NIOCore
import NIOPosix
package import Postgres
package import PullThrough
import ServiceLifecycle

/// The registry that clients pull from. Stateless: any number of replicas may run over one database and one storage.
package struct FrontendService: Service {
    package struct Configuration: Sendable {
        package var host = "127.0.0.1"
        package var port = 5080
        /// How long a client waits for a manifest that has to be fetched.
        package var manifestDeadline: Duration = .seconds(45)
        /// How long a client whose organization may serve a stored copy waits for upstream's word.
        package var stalePatience: Duration = .seconds(5)
        /// How long a client waits for the next byte of a blob.
        package var stallDeadline: Duration = .seconds(120)
        /// How long a client may take none of the bytes it asked for.
        package var sendDeadline: Duration = .seconds(240)
        /// How long a connection without a request stays open.
        package var idleTimeout: Duration = .seconds(120)
        /// Host, with port if need be, under which clients know us; nil for the address that they connect to.
        package var serverHostname: String?
        /// `http` or `https`, as clients see it.
        package var urlScheme = "http"
        package var log = PullLog.Configuration()
        /// Whether upstreams are asked for anything.
        package var isProxying = true
        /// The organization that paths mean which name none; nil for none.
        package var defaultOrganization: OrganizationName?
        /// How long a client waits for the scan of an image whose organization wants that.
        package var scanDeadline: Duration = .seconds(60)
        /// What the scanner signs with; nil for a scanner that has nothing to tell us.
        package var scannerKey: SharedKey?
        /// Nil for plain HTTP.
        package var tls: TLSFiles?
        /// How often the files are looked at.
        package var tlsInterval: Duration = .seconds(2)
        /// Who may say for whom it asks.
        package var proxies = TrustedProxies()
        /// Header bytes of a request, all fields together.
        package var maximumHeaderBytes = 32 * 1024

        package init() {}
    }

    /// What another service answers at the same port.
    package struct OtherPaths: Sendable {
        package let prefixes: [String]
        /// What answering needs; runs until cancelled, which it is once the last request has been answered.
        package let run: @Sendable () async throws -> Void
        /// Answers a request of a client at an address.
        package let respond: @Sendable (Request, String) async throws -> Response

        package init(
            prefixes: [String],
            run: @escaping @Sendable () async throws -> Void,
            respond: @escaping @Sendable (Request, String) async throws -> Response
        ) {
            self.prefixes = prefixes
            self.run = run
            self.respond = respond
        }
    }

    private let server: any Service
    /// Nil for plain HTTP.
    private let secure: SecureChannel?
    private let desk: FetchDesk
    private let follower: BlobFollower
    private let recorder: PullRecorder
    private let authenticator: Authenticator
    private let signer: TokenSigner
    private let log: PullLog
    private let traffic: TrafficCounter
    private let other: OtherPaths?

    /// - Parameter onReady: called once the port listens, with its number
    /// - Throws: ``TLSFileError``
    package init(
        _ configuration: Configuration,
        client: PostgresClient,
        storage: any BlobStorage,
        hub: ChangeHub,
        authenticator: Authenticator,
        signer: TokenSigner,
        other: OtherPaths? = nil,
        logger: Logger,
        onReady: @escaping @Sendable (Int) async -> Void = { _ in }
    ) throws {
        let notifier = JobNotifier(client: client, logger: logger)
        desk = FetchDesk(
            client: client,
            notifier: notifier,
            hub: hub,
            deadline: configuration.manifestDeadline,
            patience: configuration.stalePatience,
            logger: logger
        )
        recorder = PullRecorder(client: client, logger: logger)
        var following = BlobFollower.Configuration()
        following.stallDeadline = configuration.stallDeadline
        follower = BlobFollower(
            following,
            client: client,
            storage: storage,
            notifier: notifier,
            hub: hub,
            logger: logger
        )
        let upstreams = UpstreamDirectory(client: client, hub: hub)
        log = PullLog(configuration.log, client: client, logger: logger)
        traffic = TrafficCounter(client: client, logger: logger)
        self.authenticator = authenticator
        self.signer = signer
        self.other = other
        let organizations = OrganizationDirectory(
            client: client,
            hub: hub,
            isProxying: configuration.isProxying,
            defaultName: configuration.defaultOrganization
        )
        let responder = RegistryResponder(
            organizations: organizations,
            access: RegistryAccess(
                signer: signer,
                accounts: AccountDirectory(client: client, hub: hub),
                service: TokenService(hostname: configuration.serverHostname, scheme: configuration.urlScheme)
            ),
            tokens: TokenEndpoint(
                authenticator: authenticator,
                signer: signer,
                organizations: organizations
            ),
            manifests: ManifestEndpoint(
                pull: ManifestPull(
                    client: client,
                    desk: desk,
                    upstreams: upstreams,
                    recorder: recorder
                ),
                gate: ScanGate(client: client, hub: hub, deadline: configuration.scanDeadline)
            ),
            blobs: BlobEndpoint(
                pull: BlobPull(client: client, storage: storage, logger: logger),
                follower: follower,
                sendDeadline: configuration.sendDeadline,
                canSendFiles: configuration.tls == nil
            ),
            lists: ListEndpoint(pull: ListPull(client: client, desk: desk, upstreams: upstreams)),
            scanner: ScannerEndpoint(
                client: client,
                storage: storage,
                signer: signer,
                key: configuration.scannerKey,
                notifier: notifier,
                sendDeadline: configuration.sendDeadline,
                canSendFiles: configuration.tls == nil
            ),
            log: log,
            traffic: traffic,
            other: other,
            proxies: configuration.proxies,
            logger: logger
        )
        (server, secure) = try Self.server(configuration, responder, logger, onReady)
    }

    package func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await desk.run() }
            group.addTask { try await follower.run() }
            group.addTask { try await recorder.run() }
            group.addTask { try await authenticator.run() }
            group.addTask { try await signer.run() }
            group.addTask { try await log.run() }
            group.addTask { await traffic.write() }
            if let secure { group.addTask { try await secure.run() } }
            if let other { group.addTask { try await other.run() } }
            try await server.run()
            group.cancelAll()
        }
    }

    private static func server(
        _ configuration: Configuration,
        _ responder: RegistryResponder,
        _ logger: Logger,
        _ onReady: @escaping @Sendable (Int) async -> Void
    ) throws -> (any Service, SecureChannel?) {
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderFieldSize = configuration.maximumHeaderBytes
        decoder.maxHeaderListSize = configuration.maximumHeaderBytes
        decoder.maxHeaderFieldCount = 200
        let http1 = HTTP1Channel(
            responder: { request, writer, channel in
                try await responder.respond(to: request, writer, on: channel)
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [FileRegionHandler()],
                idleTimeout: TimeAmount(configuration.idleTimeout),
                httpDecoderConfiguration: decoder
            )
        )
        let registry = RegistryChannel(http1: http1, responder: responder)
        guard let files = configuration.tls else {
            return (server(configuration, over: registry, logger, onReady), nil)
        }
        let secure = try SecureChannel(
            files,
            every: configuration.tlsInterval,
            registry: registry,
            patience: TimeAmount(configuration.idleTimeout),
            logger: logger
        )
        return (server(configuration, over: secure, logger, onReady), secure)
    }

    private static func server(
        _ configuration: Configuration,
        over channel: some ServerChildChannel,
        _ logger: Logger,
        _ onReady: @escaping @Sendable (Int) async -> Void
    ) -> any Service {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return channel.server(
            configuration: ServerConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                serverName: nil,
                backlog: 1_024
            ),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? configuration.port
                logger.notice("listening", metadata: ["address": "\(configuration.host):\(port)"])
                await onReady(port)
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: quiet
        )
    }
}
