// SPDX-License-Identifier: Apache-2.0

import Metrics
import Synchronization

/// What is measured of upstreams, by base URL.
final class UpstreamMetrics: Sendable {
    private let bytes = Mutex<[String: Counter]>([:])

    /// - Parameter status: nil for a request that had no response
    func asked(_ baseURL: String, status: Int?) {
        let text =
            switch status {
            case nil: "failed"
            case 429: "429"
            case let status?: "\(status / 100)xx"
            }
        Counter(label: "entrepot_upstream_requests_total", dimensions: [("upstream", baseURL), ("status", text)])
            .increment()
    }

    /// The counter of what an upstream sends.
    func received(from baseURL: String) -> Counter {
        bytes.withLock { bytes in
            if let counter = bytes[baseURL] { return counter }
            let counter = Counter(label: "entrepot_upstream_bytes_total", dimensions: [("upstream", baseURL)])
            bytes[baseURL] = counter
            return counter
        }
    }
}
