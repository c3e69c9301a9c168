// SPDX-License-Identifier: Apache-2.0

import Addresses
import Clair
import Frontend
import Management
import Models
import OCI
import PullThrough
import ServiceRuntime

/// What an operator can set.
struct FrontendSettings {
    private static let listenAddress = SettingKey(
        "LISTEN_ADDRESS",
        kind: .hostPort,
        default: "127.0.0.1:5080",
        help: "where clients reach the registry"
    )
    private static let manifestTimeout = SettingKey(
        "MANIFEST_TIMEOUT",
        kind: .duration,
        default: "45s",
        help: "how long a client waits for a manifest that has to be fetched"
    )
    private static let stalePatience = SettingKey(
        "STALE_PATIENCE",
        kind: .duration,
        default: "5s",
        help: "how long a client waits for upstream's word where a stored copy may be served in its place"
    )
    private static let stallTimeout = SettingKey(
        "BLOB_STALL_TIMEOUT",
        kind: .duration,
        default: "120s",
        help: "how long a client waits for the next byte of a blob"
    )

    private static let scanTimeout = SettingKey(
        "SCAN_TIMEOUT",
        kind: .duration,
        default: "60s",
        help: "how long a client waits for the scan of an image whose organization wants that"
    )
    private static let relaxedLogging = SettingKey(
        "ALLOW_PULLS_WITHOUT_STRICT_LOGGING",
        kind: .bool,
        default: "false",
        help: "whether a pull is answered before it is in the log, or although it can't be written there"
    )
    private static let logRetention = SettingKey(
        "LOG_RETENTION",
        kind: .duration,
        default: "90d",
        help: "how long the log is kept, in whole days"
    )

    private static let defaultOrganization = SettingKey(
        "DEFAULT_ORGANIZATION",
        kind: .string,
        default: "",
        help:
            "the organization that serves paths which start with no organization's name, as Docker's mirrors are asked for"
    )
    private static let trustedProxies = SettingKey(
        "TRUSTED_PROXIES",
        kind: .list,
        default: "",
        help: "addresses and networks of proxies that may say for whom they ask"
    )
    private static let trustedProxyFields = SettingKey(
        "TRUSTED_PROXY_FIELDS",
        kind: .string,
        default: "x-forwarded",
        help: "what these proxies write: `x-forwarded` (`X-Forwarded-For`, `-Proto`, `-Host`) or `forwarded` (RFC 7239)"
    )

    static let keys =
        SharedSettings.keys + ServerSettings.keys + [
            listenAddress, manifestTimeout, stalePatience, stallTimeout, relaxedLogging, logRetention, scanTimeout,
            defaultOrganization, ScannerSettings.key, ScannerSettings.issuer, ServerSettings.certificate,
            ServerSettings.key, ServerSettings.shutdownDelay, trustedProxies, trustedProxyFields,
        ]

    let blobDirectory: String
    let departureDelay: Duration
    var frontend = FrontendService.Configuration()
    var management = ManagementAPI.Configuration()

    /// Throws a settings error that names the key.
    init(_ settings: SettingsReader) throws {
        blobDirectory = try settings.string(SharedSettings.blobDirectory)
        departureDelay = try settings.duration(ServerSettings.shutdownDelay)
        let listen = try settings.hostPort(Self.listenAddress)
        frontend.host = listen.host
        frontend.port = listen.port
        frontend.manifestDeadline = try settings.duration(Self.manifestTimeout)
        frontend.stalePatience = try settings.duration(Self.stalePatience)
        let hostname = try settings.string(ServerSettings.hostname)
        guard hostname.isEmpty || Authority.isValid(hostname) else {
            throw settings.invalid(ServerSettings.hostname, hostname, "expected a host, with a port if need be")
        }
        frontend.serverHostname = hostname.isEmpty ? nil : hostname
        let scheme = try settings.string(ServerSettings.scheme)
        guard scheme == "http" || scheme == "https" else {
            throw settings.invalid(ServerSettings.scheme, scheme, "expected http or https")
        }
        frontend.tls = try Self.tls(settings)
        frontend.urlScheme = frontend.tls == nil ? scheme : "https"
        frontend.proxies = try Self.proxies(settings)
        management.server = hostname.isEmpty ? nil : "\(frontend.urlScheme)://\(hostname)"
        management.hasQuotas = try settings.bool(SharedSettings.quotaManagement)
        management.timeMachine = try settings.duration(SharedSettings.timeMachine)
        frontend.isProxying = try settings.bool(SharedSettings.proxyCache)
        let organization = try settings.string(Self.defaultOrganization)
        do { frontend.defaultOrganization = organization.isEmpty ? nil : try OrganizationName(organization) } catch {
            throw settings.invalid(Self.defaultOrganization, organization, "\(error)")
        }
        frontend.log.isStrict = try !settings.bool(Self.relaxedLogging)
        frontend.log.retention = try settings.duration(Self.logRetention)
        guard frontend.log.retention >= .seconds(86_400) else {
            throw settings.invalid(Self.logRetention, "\(frontend.log.retention)", "expected a day (1d) at the least")
        }
        frontend.stallDeadline = try settings.duration(Self.stallTimeout)
        frontend.scanDeadline = try settings.duration(Self.scanTimeout)
        let secret = try settings.secret(ScannerSettings.key)
        let issuer = try settings.string(ScannerSettings.issuer)
        do { frontend.scannerKey = secret.isEmpty ? nil : try SharedKey(base64: secret, issuer: issuer) } catch {
            throw settings.invalid(ScannerSettings.key, secret, "\(error)")
        }
    }

    private static func tls(_ settings: SettingsReader) throws -> TLSFiles? {
        let (certificate, key) = (
            try settings.string(ServerSettings.certificate), try settings.string(ServerSettings.key)
        )
        if certificate.isEmpty, key.isEmpty { return nil }
        guard !certificate.isEmpty else {
            throw settings.invalid(ServerSettings.certificate, "", "is needed with TLS_KEY")
        }
        guard !key.isEmpty else { throw settings.invalid(ServerSettings.key, "", "is needed with TLS_CERTIFICATE") }
        let files = TLSFiles(certificate: certificate, key: key)
        do { try files.check() } catch let error as TLSFileError {
            let setting = error.file == .certificate ? ServerSettings.certificate : ServerSettings.key
            throw settings.invalid(setting, error.path, error.reason)
        }
        return files
    }

    private static func proxies(_ settings: SettingsReader) throws -> TrustedProxies {
        var networks: [CIDR] = []
        for text in try settings.list(trustedProxies) {
            do { networks.append(try CIDR(text)) } catch {
                throw settings.invalid(trustedProxies, text, "expected addresses and networks such as 10.0.0.0/8")
            }
        }
        let text = try settings.string(trustedProxyFields)
        guard let fields = TrustedProxies.Fields(rawValue: text) else {
            throw settings.invalid(trustedProxyFields, text, "expected x-forwarded or forwarded")
        }
        return TrustedProxies(networks: networks, fields: fields)
    }
}
