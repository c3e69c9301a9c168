// SPDX-License-Identifier: Apache-2.0

import Foundation
import OCI

/// "Would this configuration work?" Asks an upstream, which need not be configured yet, whether it lets us in.
package struct UpstreamCheck: FetchPayload {
    package typealias Success = UpstreamChecked

    package static let kind = JobKind.upstreamCheck
    package static let queue = JobQueueName.manifests

    /// Credentials as a job may carry them.
    package enum Login: Sendable, Hashable, Codable {
        case none
        /// Those that the organization has.
        case stored
        case sealed(SealedCredentials)
    }

    package let organization: OrganizationID
    package let upstream: String
    /// As the administrator knows the registry, with a port if need be.
    package let registry: String
    package let isInsecure: Bool
    package let realmHosts: [String]
    package let login: Login
    /// Every check asks anew.
    private let number: UUID

    package init(
        of address: UpstreamAddress,
        organization: OrganizationID,
        realmHosts: [String],
        login: Login
    ) {
        self.organization = organization
        upstream = address.baseURL
        registry = address.registry
        isInsecure = address.isInsecure
        self.realmHosts = realmHosts
        self.login = login
        number = UUID()
    }

    package var uniqueKey: String { number.uuidString.lowercased() }

    package var address: UpstreamAddress {
        UpstreamAddress(registry: registry, namespace: nil, isInsecure: isInsecure)
    }
}

/// How an upstream takes us.
package enum UpstreamChecked: String, Sendable, Hashable, Codable {
    /// It lets us in.
    case valid
    /// It wants a login that we haven't: what it has may be open to everybody nonetheless.
    case anonymous
}
