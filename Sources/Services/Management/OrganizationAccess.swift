// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Jobs
import Metadata
import Models
import Postgres

/// Decides who may ask what of an organization, and tells of what was changed.
struct OrganizationAccess: Sendable {
    private let client: PostgresClient
    private let notifier: JobNotifier
    private let store = OrganizationStore()
    private let log = LogStore()

    init(client: PostgresClient, notifier: JobNotifier) {
        self.client = client
        self.notifier = notifier
    }

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

    /// Tells the frontends, and the log who did it.
    func changed(
        _ organization: Organization,
        _ kind: LogKind,
        _ context: APIContext,
        facts: [String: String] = [:]
    ) async throws {
        await notifier.notify(.organizations, [organization.name.rawValue])
        let entry = LogEntry(
            kind,
            organization: organization,
            account: context.account,
            address: context.address,
            metadata: facts
        )
        try await log.append([entry], on: client)
    }
}
