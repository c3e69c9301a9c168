// SPDX-License-Identifier: Apache-2.0

/// Names of all settings of all executables, which share one `config.yaml`: a key that is none of them is a mistake.
enum KnownSettings {
    static let names: Set<String> = [
        "ADMIN_PASSWORD", "ALLOW_PULLS_WITHOUT_STRICT_LOGGING", "LOG_RETENTION", "BLOB_DIRECTORY", "BLOB_STALL_TIMEOUT",
        "DATA", "DB_CONNECTION_POOLING_MAX", "DB_URI", "DEFAULT_ORGANIZATION", "DEFAULT_TAG_EXPIRATION",
        "FEATURE_PROXY_CACHE",
        "FEATURE_QUOTA_MANAGEMENT", "GC_BATCH", "GC_GRACE", "GC_INTERVAL", "GC_SWEEP_INTERVAL",
        "PRUNER_EXPIRY_INTERVAL", "PRUNER_LIMIT_INTERVAL", "PRUNER_PROOF_INTERVAL", "QUOTA_PATIENCE",
        "QUOTA_WEBHOOK_SECRET", "QUOTA_WEBHOOK_URL", "SCRUB_INTERVAL", "SCRUB_MEGABYTES_PER_SECOND", "FETCHERS",
        "FETCHER_BLOB_SLOTS", "FETCHER_FILL_SLOTS", "FETCHER_KEY_FILES", "FETCHER_LEASE", "FETCHER_MANIFEST_SLOTS",
        "FETCHER_ORGANIZATION_MEGABYTES_IN_FLIGHT", "FILL", "FILL_DELAY", "FRONTENDS",
        "INTERNAL_ADDRESS", "LISTEN_ADDRESS", "LOG_FORMAT", "LOG_LEVEL", "MANIFEST_TIMEOUT",
        "FEATURE_SECURITY_SCANNER", "SCAN_LAYERS_URL", "SCAN_LEASE", "SCAN_REPORT_AGE", "SCAN_SLOTS", "SCAN_TIMEOUT",
        "SECURITY_SCANNER_INDEXING_INTERVAL", "SECURITY_SCANNER_MAX_SCAN_RETRIES", "SECURITY_SCANNER_V4_ENDPOINT",
        "SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE", "SECURITY_SCANNER_V4_ISSUER", "SECURITY_SCANNER_V4_PSK",
        "TRACES_ENDPOINT", "TRACES_SHARE", "TLS_CERTIFICATE", "TLS_KEY", "TRUSTED_PROXIES", "TRUSTED_PROXY_FIELDS",
        "VULNERABILITY_WEBHOOK_SECRET", "VULNERABILITY_WEBHOOK_SEVERITY", "VULNERABILITY_WEBHOOK_URL",
        "PREFERRED_URL_SCHEME", "SERVER_HOSTNAME", "SHUTDOWN_DELAY", "SHUTDOWN_GRACE", "SSRF_ALLOWED_HOSTS",
        "STALE_PATIENCE", "UPSTREAM_CONNECT_TIMEOUT", "UPSTREAM_IDLE_TIMEOUT", "UPSTREAM_MANIFEST_TIMEOUT",
        "UPSTREAM_RESPONSE_TIMEOUT",
    ]

    /// The known name that was probably meant; nil when none is near.
    static func nearest(to name: String) -> String? {
        let upper = name.uppercased()
        let ranked = names.map { (name: $0, distance: distance(upper, $0)) }.sorted {
            ($0.distance, $0.name) < ($1.distance, $1.name)
        }
        guard let best = ranked.first, best.distance <= max(2, best.name.count / 4) else { return nil }
        return best.name
    }

    /// Levenshtein's.
    private static func distance(_ left: String, _ right: String) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = above
            }
        }
        return row[right.count]
    }
}
