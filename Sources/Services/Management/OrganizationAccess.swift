// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Jobs
import Metadata
import Models
import OCI
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

    /// What the path names, if the caller may ask for it.
    /// - Throws: ``APIError`` 401; 403 for what isn't there as well, but to superusers
    func place(of access: Operation.Access, _ context: APIContext) async throws -> Call.Place {
        switch access {
        case .anybody, .namespace: return .nowhere
        case .account:
            _ = try context.caller()
            return .nowhere
        case .superuser:
            let account = try context.caller()
            guard account.isSuperuser else { throw APIError.forbidden }
            guard context.parameters.get("orgname") != nil else { return .nowhere }
            return .organization(try await organization(context, account))
        case .organization(let role):
            let account = try context.caller()
            let organization = try await organization(context, account)
            guard AccessRules.has(role, account, in: organization) else { throw APIError.forbidden }
            return .organization(organization)
        case .repository(let role):
            let account = try context.caller()
            let (organization, name) = try await repository(context, account)
            guard AccessRules.has(role, account, in: organization) else { throw APIError.forbidden }
            return .repository(organization, name)
        case .pull:
            do {
                let (organization, name) = try await repository(context, context.account)
                guard AccessRules.mayPull(context.account, from: organization) else { throw APIError.forbidden }
                return .repository(organization, name)
            } catch let error as APIError where error.status == .forbidden && context.account == nil {
                throw APIError.unauthenticated
            }
        }
    }

    private func organization(_ context: APIContext, _ account: Account?) async throws -> Organization {
        try await find(OrganizationName(rawValue: try context.pathParameter("orgname")), account)
    }

    private func repository(
        _ context: APIContext,
        _ account: Account?
    ) async throws -> (Organization, RepositoryName) {
        let parts = try context.pathParameter("repository").split(separator: "/", maxSplits: 1)
        guard parts.count == 2 else { throw account?.isSuperuser == true ? APIError.notFound("Not Found") : .forbidden }
        let organization = try await find(OrganizationName(rawValue: String(parts[0])), account)
        guard let asked = RepositoryName(rawValue: String(parts[1])) else {
            throw AccessRules.mayPull(account, from: organization) ? APIError.notFound("Not Found") : .forbidden
        }
        return (organization, organization.proxyCache?.upstream.canonical(asked) ?? asked)
    }

    private func find(_ name: OrganizationName?, _ account: Account?) async throws -> Organization {
        if let name, let organization = try await store.find(name, on: client) { return organization }
        throw account?.isSuperuser == true ? APIError.notFound("there is no such organization") : .forbidden
    }

    /// Tells the frontends, and the log who did it.
    func changed(
        _ organization: Organization,
        _ kind: LogKind,
        _ context: APIContext,
        repository: RepositoryName? = nil,
        facts: [String: String] = [:]
    ) async throws {
        await notifier.notify(.organizations, [organization.name.rawValue])
        let entry = LogEntry(
            kind,
            organization: organization,
            repository: repository?.rawValue,
            account: context.account,
            address: context.address,
            metadata: facts
        )
        try await log.append([entry], on: client)
    }

    /// Tells the log of a change that concerns no organization.
    func changed(_ kind: LogKind, _ context: APIContext, facts: [String: String]) async throws {
        let entry = LogEntry(kind, account: context.account, address: context.address, metadata: facts)
        try await log.append([entry], on: client)
    }
}
