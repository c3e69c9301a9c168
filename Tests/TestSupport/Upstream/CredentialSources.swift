// SPDX-License-Identifier: Apache-2.0

package import Models
import Upstream

/// The same credentials for every organization, or none.
package struct FixedCredentials: CredentialSource {
    private let value: UpstreamCredentials?

    package init(_ value: UpstreamCredentials? = nil) { self.value = value }

    package func credentials(
        for organization: OrganizationID,
        at upstream: UpstreamAddress
    ) async throws -> UpstreamCredentials? { value }
}
