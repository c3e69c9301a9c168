// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Metadata
import Models
import Postgres

/// Organizations themselves.
struct OrganizationRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    private let store = OrganizationStore()

    init(client: PostgresClient, access: OrganizationAccess) {
        self.client = client
        self.access = access
    }

    func add(to router: RouterGroup<APIContext>) {
        router.post("organization") { request, context in try await create(request, context) }
        router.get("organization/:orgname") { request, context in try await show(context) }
        router.put("organization/:orgname") { request, context in try await edit(request, context) }
    }

    private func create(_ request: Request, _ context: APIContext) async throws -> Response {
        guard try context.caller().isSuperuser else { throw APIError.forbidden }
        var fields = try await Fields(request)
        guard let text = try fields.string("name") else { throw APIError.invalid("name: is needed") }
        // The model's field, of which we have no use.
        _ = try fields.string("email")
        let isPublic = try fields.bool("public_pull") ?? false
        try fields.finish()
        let name: OrganizationName
        do { name = try OrganizationName(text) } catch { throw APIError.invalid("name: \(error.message)") }
        guard try await store.create(name, isPublic: isPublic, on: client),
            let organization = try await store.find(name, on: client)
        else {
            throw APIError.invalid("A user or organization with this name already exists")
        }
        try await access.changed(organization, .createOrganization, context)
        return try APIReply.json("Created", status: .created)
    }

    private struct View: Encodable {
        let name: String
        let public_pull: Bool
        let is_admin: Bool
        let is_member: Bool
        let is_proxy: Bool
        let block_severity: String
        let unscanned: String
    }

    private func show(_ context: APIContext) async throws -> Response {
        let organization = try await access.require(.reader, context)
        return try APIReply.json(
            View(
                name: organization.name.rawValue,
                public_pull: organization.isPublic,
                is_admin: AccessRules.has(.admin, context.account, in: organization),
                is_member: AccessRules.has(.member, context.account, in: organization),
                is_proxy: organization.proxyCache != nil,
                block_severity: organization.scanPolicy.blockSeverity?.name ?? ScanPolicy.noSeverity,
                unscanned: organization.scanPolicy.unscanned.rawValue
            )
        )
    }

    private func edit(_ request: Request, _ context: APIContext) async throws -> Response {
        let organization = try await access.require(.admin, context)
        var fields = try await Fields(request)
        let isPublic = try fields.bool("public_pull")
        let policy = try fields.scanPolicy(current: organization.scanPolicy)
        try fields.finish()
        try await client.withTransaction { transaction in
            if let isPublic { try await store.setPublic(isPublic, organization.id, on: transaction) }
            if let policy { try await store.setScanPolicy(policy, organization.id, on: transaction) }
        }
        if isPublic != nil || policy == nil { try await access.changed(organization, .changeVisibility, context) }
        if let policy {
            try await access.changed(organization, .changeScanPolicy, context, facts: policy.facts)
        }
        return try APIReply.json("Updated")
    }
}
