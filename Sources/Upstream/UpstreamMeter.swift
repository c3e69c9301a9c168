// SPDX-License-Identifier: Apache-2.0

package import Models

/// Hears for whom upstreams were asked, and how much they sent.
package protocol UpstreamMeter: Sendable {
    func asked(for organization: OrganizationID)
    func received(_ bytes: Int, for organization: OrganizationID)
}
