// SPDX-License-Identifier: Apache-2.0

package import Models
import Upstream

/// Lets every request through, and forgets what became of it.
package struct LenientGovernor: UpstreamGovernor {
    package init() {}

    package func admit(_ baseURL: String, isBlob: Bool) async throws {}
    package func answered(_ baseURL: String, _ limit: RateLimit?) async {}
    package func failed(_ baseURL: String, _ failure: FetchFailure, isProbe: Bool) async {}
}
