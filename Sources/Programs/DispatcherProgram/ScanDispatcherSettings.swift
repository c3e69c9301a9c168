// SPDX-License-Identifier: Apache-2.0

import Clair
import Models
import Notices
import Scanning
import ServiceRuntime

/// What an operator can set.
struct ScanDispatcherSettings {
    private static let maximumLayerSize = SettingKey(
        "SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE",
        kind: .string,
        default: "",
        help: "images with a larger layer aren't scanned: bytes, or a number with K, M, G or T; no limit if empty"
    )
    private static let maximumFailures = SettingKey(
        "SECURITY_SCANNER_MAX_SCAN_RETRIES",
        kind: .int,
        default: "5",
        help: "failures of one image before it rests until the scanner changes"
    )
    private static let interval = SettingKey(
        "SECURITY_SCANNER_INDEXING_INTERVAL",
        kind: .duration,
        default: "30s",
        help: "how often the scanner is asked whether it has changed"
    )
    private static let slots = SettingKey(
        "SCAN_SLOTS",
        kind: .int,
        default: "4",
        help: "images that one dispatcher has with the scanner at once"
    )
    private static let lease = SettingKey(
        "SCAN_LEASE",
        kind: .duration,
        default: "5s",
        help: "after which another dispatcher takes over from one that fell silent"
    )
    private static let reportAge = SettingKey(
        "SCAN_REPORT_AGE",
        kind: .duration,
        default: "1d",
        help: "how old a report may become before it is asked for anew"
    )
    private static let webhookURL = SettingKey(
        "VULNERABILITY_WEBHOOK_URL",
        kind: .string,
        default: "",
        help: "where vulnerabilities are posted that are found in images that are cached; nowhere if empty"
    )
    private static let webhookSecret = SettingKey(
        "VULNERABILITY_WEBHOOK_SECRET",
        kind: .secret,
        default: "",
        help: "signs what is posted, by HMAC-SHA256 in `X-Entrepot-Signature`; nothing is signed if empty"
    )
    private static let webhookSeverity = SettingKey(
        "VULNERABILITY_WEBHOOK_SEVERITY",
        kind: .string,
        default: "High",
        help: "the mildest that is posted: Unknown, Negligible, Low, Medium, High or Critical"
    )

    static let keys =
        SharedSettings.keys + ServerSettings.keys + [
            ScannerSettings.feature, ScannerSettings.endpoint, ScannerSettings.key, ScannerSettings.issuer,
            maximumLayerSize, maximumFailures, interval, slots, lease, reportAge, ScannerSettings.layersURL, webhookURL,
            webhookSecret, webhookSeverity,
        ]

    let clair: ClairClient.Configuration
    let key: SharedKey?
    var scanning: ScanningService.Configuration

    /// Throws a settings error that names the key.
    init(_ settings: SettingsReader) throws {
        guard try settings.bool(ScannerSettings.feature) else {
            throw settings.invalid(ScannerSettings.feature, "false", "there is nothing to do for a dispatcher")
        }
        clair = ClairClient.Configuration(endpoint: try settings.baseURL(ScannerSettings.endpoint))
        let secret = try settings.secret(ScannerSettings.key)
        let issuer = try settings.string(ScannerSettings.issuer)
        do { key = secret.isEmpty ? nil : try SharedKey(base64: secret, issuer: issuer) } catch {
            throw settings.invalid(ScannerSettings.key, secret, "\(error)")
        }
        let hostname = try settings.string(ServerSettings.hostname)
        let isOwn = try !settings.string(ScannerSettings.layersURL).isEmpty
        guard isOwn || !hostname.isEmpty else {
            throw settings.invalid(ScannerSettings.layersURL, "", "is needed, unless SERVER_HOSTNAME is set")
        }
        scanning = ScanningService.Configuration(
            layersURL: isOwn
                ? try settings.baseURL(ScannerSettings.layersURL)
                : "\(try settings.string(ServerSettings.scheme))://\(hostname)"
        )
        scanning.slots = try settings.int(Self.slots, in: 1...1_000)
        scanning.lease = try settings.duration(Self.lease)
        scanning.watchInterval = try settings.duration(Self.interval)
        scanning.limits.maximumFailures = try settings.int(Self.maximumFailures, in: 1...1_000)
        scanning.limits.reportAge = try settings.duration(Self.reportAge)
        let size = try settings.string(Self.maximumLayerSize)
        if !size.isEmpty {
            guard let bytes = Self.bytes(size) else {
                throw settings.invalid(Self.maximumLayerSize, size, "expected a size such as 8G or 500M")
            }
            scanning.limits.maximumLayerBytes = bytes
        }
        if let url = try settings.urlIfSet(Self.webhookURL) {
            let secret = try settings.secret(Self.webhookSecret)
            scanning.webhook = Webhook(url: url, secret: secret.isEmpty ? nil : secret)
        }
        let severity = try settings.string(Self.webhookSeverity)
        guard let mildest = Severity(name: severity) else {
            throw settings.invalid(Self.webhookSeverity, severity, "expected \(Self.webhookSeverity.help)")
        }
        scanning.webhookSeverity = mildest
        scanning.shutdownGrace = try SharedSettings.workGrace(settings)
    }

    private static func bytes(_ text: String) -> Int64? {
        let units: [Character: Int64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        var digits = text.uppercased()
        if digits.last == "B" { digits.removeLast() }
        let unit = digits.last.flatMap { units[$0] }
        if unit != nil { digits.removeLast() }
        guard let count = Int64(digits), count > 0, count <= 1 << 20 || unit == nil else { return nil }
        return count * (unit ?? 1)
    }
}
