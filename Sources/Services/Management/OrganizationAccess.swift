// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Metadata
import Models
import Postgres

/// Decides who may ask what of an organization.
struct OrganizationAccess: Sendable {
    let client: PostgresClient
    private let store = OrganizationStore()

    init(client: PostgresClient) { self.client = client }

    /// The organization of the path, if the caller has the role in it.
    /// - Throws: ``APIError`` 401; 403 for one that isn't there as well, but to superusers
    func require(_ role: OrganizationRole, _ context: APIContext) async throws -> Organization {
        let account = try context.caller()
        let text = try context.parameters.require("orgname")
        var organization: Organization?
        if let name = OrganizationName(rawValue: text) { organization = try await store.find(name, on: client) }
        guard let organization else { throw account.isSuperuser ? APIError.notFound("Not Found") : .forbidden }
        guard AccessRules.has(role, account, in: organization) else { throw APIError.forbidden }
        return organization
    }
}
