// SPDX-License-Identifier: Apache-2.0

package import Models

extension ProxyCacheConfig {
    /// Of an upstream that nobody asks.
    package static let sample = ProxyCacheConfig(
        upstream: UpstreamAddress(registry: "quay.io", namespace: nil, isInsecure: false)
    )
}
