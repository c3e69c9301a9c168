// SPDX-License-Identifier: Apache-2.0

package import Models

/// Where an organization's credentials come from, at the moment when they are needed.
package protocol CredentialSource: Sendable {
    /// Nil when the organization pulls anonymously, and when it has another upstream by now: its credentials are for that one.
    /// - Throws: ``FetchFailure`` when there are some that can't be opened.
    func credentials(
        for organization: OrganizationID,
        at upstream: UpstreamAddress
    ) async throws -> UpstreamCredentials?
}
