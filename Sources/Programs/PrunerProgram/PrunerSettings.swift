// SPDX-License-Identifier: Apache-2.0

import Notices
import Pruning
import ServiceRuntime

/// What an operator can set.
struct PrunerSettings {
    private static let expiryInterval = SettingKey(
        "PRUNER_EXPIRY_INTERVAL",
        kind: .duration,
        default: "2s",
        help: "how often expired tags are looked for"
    )
    private static let limitInterval = SettingKey(
        "PRUNER_LIMIT_INTERVAL",
        kind: .duration,
        default: "2s",
        help: "how often usage is compared with limits and thresholds"
    )
    private static let proofInterval = SettingKey(
        "PRUNER_PROOF_INTERVAL",
        kind: .duration,
        default: "6h",
        help: "how often what was counted of an organization is counted anew and repaired"
    )
    private static let webhookURL = SettingKey(
        "QUOTA_WEBHOOK_URL",
        kind: .string,
        default: "",
        help: "where crossed thresholds are posted to; nowhere if empty"
    )
    private static let webhookSecret = SettingKey(
        "QUOTA_WEBHOOK_SECRET",
        kind: .secret,
        default: "",
        help: "signs what is posted, by HMAC-SHA256 in `X-Entrepot-Signature`; nothing is signed if empty"
    )

    static let keys =
        SharedSettings.keys + [expiryInterval, limitInterval, proofInterval, webhookURL, webhookSecret]

    var pruning = PruningService.Configuration()

    /// Throws a settings error that names the key.
    init(_ settings: SettingsReader) throws {
        pruning.isKeepingLimits = try settings.bool(SharedSettings.quotaManagement)
        pruning.expiryInterval = try settings.duration(Self.expiryInterval)
        pruning.limitInterval = try settings.duration(Self.limitInterval)
        pruning.proofInterval = try settings.duration(Self.proofInterval)
        if let url = try settings.urlIfSet(Self.webhookURL) {
            let secret = try settings.secret(Self.webhookSecret)
            pruning.webhook = Webhook(url: url, secret: secret.isEmpty ? nil : secret)
        }
        pruning.shutdownGrace = try SharedSettings.workGrace(settings)
    }
}
