// SPDX-License-Identifier: Apache-2.0

/// Something that an operator can set, by the same name in `config.yaml` and in the environment.
package struct SettingKey: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        case string, int, bool, duration, list, hostPort, secret
    }

    package let name: String
    package let kind: Kind
    /// As it would be written.
    package let defaultValue: String
    package let help: String

    package init(_ name: String, kind: Kind, default defaultValue: String, help: String) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.help = help
    }
}

/// What every executable reads.
package enum SharedSettings {
    package static let database = SettingKey(
        "DB_URI",
        kind: .secret,
        default: "",
        help: "connection string of the PostgreSQL database"
    )
    package static let databaseConnections = SettingKey(
        "DB_CONNECTION_POOLING_MAX",
        kind: .int,
        default: "16",
        help: "connections to the database that one process keeps at most, beside one that listens and one "
            + "for each queue"
    )
    /// That ``databaseConnections`` may have.
    package static let poolSizes = 2...1_000
    package static let blobDirectory = SettingKey(
        "BLOB_DIRECTORY",
        kind: .string,
        default: "storage",
        help: "folder of blobs, shared by frontends and fetchers"
    )
    package static let internalAddress = SettingKey(
        "INTERNAL_ADDRESS",
        kind: .hostPort,
        default: "127.0.0.1:0",
        help: "where /livez, /readyz and /metrics answer; port 0 takes any free one"
    )
    package static let proxyCache = SettingKey(
        "FEATURE_PROXY_CACHE",
        kind: .bool,
        default: "true",
        help: "whether upstreams are asked for anything; if not, what is cached is served, and nothing else"
    )
    package static let quotaManagement = SettingKey(
        "FEATURE_QUOTA_MANAGEMENT",
        kind: .bool,
        default: "true",
        help: "whether limits of organizations are kept; usage is counted in any case"
    )
    package static let timeMachine = SettingKey(
        "DEFAULT_TAG_EXPIRATION",
        kind: .duration,
        default: "2w",
        help: "how long ended tags can be revived, in organizations that don't say otherwise"
    )
    package static let logLevel = SettingKey(
        "LOG_LEVEL",
        kind: .string,
        default: "info",
        help: "trace, debug, info, notice, warning, error or critical"
    )
    package static let logFormat = SettingKey("LOG_FORMAT", kind: .string, default: "json", help: "json or text")
    package static let tracesEndpoint = SettingKey(
        "TRACES_ENDPOINT",
        kind: .string,
        default: "",
        help: "URL of an OpenTelemetry collector that takes spans by OTLP over HTTP, such as `http://127.0.0.1:4318`; "
            + "nothing is traced if empty"
    )
    package static let tracesShare = SettingKey(
        "TRACES_SHARE",
        kind: .string,
        default: "1",
        help: "of the traces that begin here, how many are recorded, from 0 to 1"
    )
    package static let shutdownGrace = SettingKey(
        "SHUTDOWN_GRACE",
        kind: .duration,
        default: "15s",
        help: "how long work in progress may go on after SIGTERM"
    )

    /// How long workers go on after SIGTERM. The rest of the time is for handing back what isn't done by then: another one goes
    /// on where it stands.
    package static func workGrace(_ settings: SettingsReader) throws -> Duration {
        try settings.duration(shutdownGrace) / 2
    }

    package static let keys = [
        database, databaseConnections, blobDirectory, proxyCache, quotaManagement, timeMachine, internalAddress,
        logLevel,
        logFormat, shutdownGrace, tracesEndpoint, tracesShare,
    ]
}
