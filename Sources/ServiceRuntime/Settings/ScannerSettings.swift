// SPDX-License-Identifier: Apache-2.0

/// What more than one program reads of the vulnerability scanner.
package enum ScannerSettings {
    package static let feature = SettingKey(
        "FEATURE_SECURITY_SCANNER",
        kind: .bool,
        default: "true",
        help: "whether images are scanned, if there is a scanner"
    )
    package static let endpoint = SettingKey(
        "SECURITY_SCANNER_V4_ENDPOINT",
        kind: .string,
        default: "",
        help: "base URL of Clair v4; no image is scanned if empty"
    )
    package static let key = SettingKey(
        "SECURITY_SCANNER_V4_PSK",
        kind: .secret,
        default: "",
        help: "the key that is shared with Clair, in base64, as its auth.psk.key"
    )
    package static let issuer = SettingKey(
        "SECURITY_SCANNER_V4_ISSUER",
        kind: .string,
        default: "quay",
        help: "who signs with that key: one of Clair's auth.psk.iss"
    )
    package static let layersURL = SettingKey(
        "SCAN_LAYERS_URL",
        kind: .string,
        default: "",
        help: "base URL under which the scanner reaches a frontend; the one that clients have if empty"
    )
}
