// SPDX-License-Identifier: Apache-2.0

package import Models
package import PullThrough
import Upstream

extension TrafficCounter: UpstreamMeter {
    package func asked(for organization: OrganizationID) { upstream(requests: 1, for: organization) }

    package func received(_ bytes: Int, for organization: OrganizationID) {
        upstream(bytes: Int64(bytes), for: organization)
    }
}
