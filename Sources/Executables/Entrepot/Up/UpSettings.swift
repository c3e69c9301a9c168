// SPDX-License-Identifier: Apache-2.0

import Accounts
import Foundation
import HTTPTransport
import Models
import Postgres
import ServiceRuntime

/// What `entrepot up` was told.
struct UpSettings {
    static let data = SettingKey(
        "DATA",
        kind: .string,
        default: ".entrepot",
        help: "folder for database and blobs of `entrepot up`"
    )
    static let listen = SettingKey(
        "LISTEN_ADDRESS",
        kind: .hostPort,
        default: "127.0.0.1:5080",
        help: "where clients reach the registry"
    )
    static let frontends = SettingKey("FRONTENDS", kind: .int, default: "1", help: "frontends of `entrepot up`")
    static let fetchers = SettingKey("FETCHERS", kind: .int, default: "1", help: "fetchers of `entrepot up`")
    static let allowedHosts = SettingKey(
        "SSRF_ALLOWED_HOSTS",
        kind: .list,
        default: "",
        help: "upstream hosts, addresses and CIDRs that may be private or loopback"
    )

    static let adminPassword = SettingKey(
        "ADMIN_PASSWORD",
        kind: .secret,
        default: "",
        help: "password of the superuser `admin` that a first start makes; a random one if empty"
    )

    static let keys =
        SharedSettings.keys + [
            data, listen, frontends, fetchers, allowedHosts, adminPassword, ScannerSettings.feature,
            ScannerSettings.endpoint, ScannerSettings.layersURL, ServerSettings.hostname, ServerSettings.certificate,
            ServerSettings.shutdownDelay,
        ]

    /// Organizations of a first start that names none.
    static let wellKnown = [
        "docker=docker.io", "quay=quay.io", "ghcr=ghcr.io", "k8s=registry.k8s.io", "gcr=gcr.io",
        "mcr=mcr.microsoft.com",
    ]

    let data: String
    let listen: HostPort
    let frontends: Int
    let fetchers: Int
    let allowedHosts: String
    /// Nil: make one.
    let adminPassword: String?
    /// Nil: make a private cluster.
    let database: String?
    /// As many as a private cluster has to take.
    let maximumConnections: Int
    /// Whether there is a scanner.
    let isScanning: Bool
    /// Whether it is said how the scanner reaches a frontend.
    let hasLayersURL: Bool
    /// How long a service may take to end before it is killed.
    let stopGrace: Duration
    let logFormat: String
    /// `config.yaml`, empty for none.
    let config: String
    let proxies: [Proxy]

    /// `ORG=UPSTREAM[/NAMESPACE]`.
    struct Proxy {
        let organization: OrganizationName
        let upstream: UpstreamAddress

        /// Throws ``SettingsError`` that names the text.
        init(_ text: String) throws {
            guard let equals = text.firstIndex(of: "=") else {
                throw SettingsError("--proxy \"\(text)\": expected ORG=UPSTREAM[/NAMESPACE]")
            }
            do {
                organization = try OrganizationName(String(text[..<equals]))
                upstream = try UpstreamAddress(parsing: String(text[text.index(after: equals)...]))
            } catch {
                throw SettingsError("--proxy \"\(text)\": \(error)")
            }
        }
    }

    /// Whether only this machine reaches it.
    var isLoopback: Bool { listen.host == "localhost" || listen.host == "::1" || listen.host.hasPrefix("127.") }

    init(_ settings: SettingsReader, proxies: [String]) throws {
        data = try settings.string(Self.data)
        guard !data.isEmpty else { throw settings.invalid(Self.data, data, "expected a folder") }
        listen = try settings.hostPort(Self.listen)
        frontends = try settings.int(Self.frontends, in: 1...64)
        fetchers = try settings.int(Self.fetchers, in: 1...64)
        let allowed = try settings.list(Self.allowedHosts)
        for text in allowed {
            do { _ = try AllowedUpstream(text) } catch {
                throw settings.invalid(Self.allowedHosts, text, "\(error)")
            }
        }
        allowedHosts = allowed.joined(separator: ",")
        guard listen.port > 0, listen.port + frontends - 1 <= 65_535 else {
            throw settings.invalid(Self.listen, "\(listen)", "needs a port with room for \(frontends) frontends")
        }
        let certificate = try settings.string(ServerSettings.certificate)
        guard certificate.isEmpty else {
            throw settings.invalid(ServerSettings.certificate, certificate, "`up` speaks plain HTTP")
        }
        adminPassword = try Superuser.password(settings)
        let database = try settings.secret(SharedSettings.database)
        _ = try PostgresConfiguration(connectionString: database).checked(from: SharedSettings.database.name)
        self.database = database.isEmpty ? nil : database
        // Each has one that listens and one for each queue, or its API's, beside its pool; pruner, collector and dispatcher are
        // one each. The rest is for commands, and PostgreSQL keeps three for its superuser.
        let pool = try settings.int(SharedSettings.databaseConnections, in: SharedSettings.poolSizes)
        maximumConnections = (frontends + fetchers + 3) * (pool + 8) + 50
        isScanning =
            try settings.bool(ScannerSettings.feature) && !settings.string(ScannerSettings.endpoint).isEmpty
        hasLayersURL = try [ScannerSettings.layersURL, ServerSettings.hostname].contains {
            try !settings.string($0).isEmpty
        }
        // What they do themselves when their time is over takes a moment, too.
        stopGrace =
            try settings.duration(SharedSettings.shutdownGrace) + settings.duration(ServerSettings.shutdownDelay)
            + .seconds(5)
        logFormat = try settings.string(SharedSettings.logFormat)
        config = settings.path
        self.proxies = try proxies.map(Proxy.init)
    }
}
