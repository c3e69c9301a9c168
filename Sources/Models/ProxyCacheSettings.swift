// SPDX-License-Identifier: Apache-2.0

package import OCI

/// What an administrator says of an organization's upstream, but for credentials. Nil in an edit: as it is.
package struct ProxyCacheSettings: Sendable, Hashable {
    package var upstream: UpstreamAddress?
    /// Plain HTTP with the upstream that the organization has. Another one's address says it itself.
    package var isInsecure: Bool?
    /// Seconds, 0 or more.
    package var freshnessSeconds: Int64?
    /// Seconds; 0 never expires.
    package var expirationSeconds: Int64?
    /// Seconds; `.some(nil)` is the same as the expiration.
    package var stalenessSeconds: Int64??
    package var onUpstreamDelete: UpstreamDeletePolicy?
    package var oversized: OversizedPolicy?
    package var platforms: [Platform]?
    package var realmHosts: [String]?
    package var foreignLayerHosts: [String]?

    package init() {}
}
