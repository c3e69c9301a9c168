// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Metadata
import Models
import OCI
import Postgres
import Sealing

/// The upstream of an organization. Paths, statuses and fields are the model's; `PUT` and the fields that its own lacks are
/// ours.
struct ProxyCacheRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    private let store = ProxyCacheStore()
    private let credentials = CredentialStore()

    init(client: PostgresClient, access: OrganizationAccess) {
        self.client = client
        self.access = access
    }

    func add(to router: RouterGroup<APIContext>) {
        let group = router.group("organization/:orgname/proxycache")
        group.get { request, context in try await show(context) }
        group.post { request, context in try await create(request, context) }
        group.put { request, context in try await edit(request, context) }
        group.delete { request, context in try await delete(context) }
    }

    private struct View: Encodable {
        let upstream_registry: String
        let expiration_s: Int64
        let insecure: Bool
        let freshness_s: Int64
        let staleness_s: Int64
        let on_upstream_delete: String
        let platforms: [String]
        let realm_hosts: [String]
        let foreign_layer_hosts: [String]
    }

    /// What there is to say of no configuration, in the model's words.
    private struct NoView: Encodable {
        let upstream_registry = ""
        let expiration_s = ""
        let insecure = ""
    }

    private func show(_ context: APIContext) async throws -> Response {
        let organization = try await access.require(.member, context)
        guard let config = organization.proxyCache else { return try APIReply.json(NoView()) }
        let expiration = config.expiration?.components.seconds ?? 0
        return try APIReply.json(
            View(
                upstream_registry: config.upstream.plainDescription,
                expiration_s: expiration,
                insecure: config.upstream.isInsecure,
                freshness_s: config.freshness.components.seconds,
                staleness_s: config.staleness?.components.seconds ?? expiration,
                on_upstream_delete: config.onUpstreamDelete.rawValue,
                platforms: config.platforms,
                realm_hosts: config.realmHosts,
                foreign_layer_hosts: config.foreignLayerHosts
            )
        )
    }

    private func create(_ request: Request, _ context: APIContext) async throws -> Response {
        let organization = try await access.require(.admin, context)
        let (settings, login) = try await read(request, isNew: true)
        let sealed = try await seal(login, for: organization)
        try await client.withTransaction { transaction in
            guard try await store.create(settings, of: organization.id, on: transaction) else {
                throw APIError.invalid("Proxy Cache Configuration already exists")
            }
            if let sealed { _ = try await credentials.set(sealed, organization: organization.id, on: transaction) }
        }
        try await access.changed(organization, .createProxyCache, context, facts: Self.facts(settings))
        return try APIReply.json("Created", status: .created)
    }

    private func edit(_ request: Request, _ context: APIContext) async throws -> Response {
        let organization = try await access.require(.admin, context)
        let (settings, login) = try await read(request, isNew: false, current: organization.proxyCache?.upstream)
        let sealed = try await seal(login, for: organization)
        try await client.withTransaction { transaction in
            guard try await store.update(settings, of: organization.id, on: transaction) else {
                throw APIError.notFound("the organization has no proxy cache configuration")
            }
            if let sealed { _ = try await credentials.set(sealed, organization: organization.id, on: transaction) }
        }
        try await access.changed(organization, .changeProxyCache, context, facts: Self.facts(settings))
        return try APIReply.json("Updated")
    }

    private func delete(_ context: APIContext) async throws -> Response {
        let organization = try await access.require(.admin, context)
        guard try await store.delete(of: organization.id, on: client) else {
            throw APIError.notFound("the organization has no proxy cache configuration")
        }
        try await access.changed(organization, .deleteProxyCache, context)
        return try APIReply.json("Deleted", status: .created)
    }

    // MARK: - Reading

    private func read(
        _ request: Request,
        isNew: Bool,
        current: UpstreamAddress? = nil
    ) async throws -> (ProxyCacheSettings, UpstreamCredentials?) {
        var fields = try await Fields(request)
        var settings = ProxyCacheSettings()
        let registry = try fields.string("upstream_registry")
        let insecure = try fields.bool("insecure")
        guard registry != nil || !isNew else { throw APIError.invalid("upstream_registry: is needed") }
        if registry != nil || insecure != nil {
            let text = registry ?? current?.plainDescription ?? ""
            let address: UpstreamAddress
            do { address = try UpstreamAddress(parsing: text) } catch {
                throw APIError.invalid("upstream_registry: \(error.message)")
            }
            settings.upstream = UpstreamAddress(
                registry: address.registry,
                namespace: address.namespace,
                isInsecure: insecure ?? (address.isInsecure || (registry == nil && current?.isInsecure == true))
            )
        }
        settings.expirationSeconds = try fields.seconds("expiration_s")
        settings.freshnessSeconds = try fields.seconds("freshness_s")
        if fields.has("staleness_s") { settings.stalenessSeconds = .some(try fields.seconds("staleness_s")) }
        if let text = try fields.string("on_upstream_delete") {
            guard let policy = UpstreamDeletePolicy(rawValue: text) else {
                throw APIError.invalid("on_upstream_delete: expected serve or hide")
            }
            settings.onUpstreamDelete = policy
        }
        settings.platforms = try fields.strings("platforms")?.map { text in
            do throws(OCIError) {
                return try Platform(text)
            } catch {
                throw APIError.invalid("platforms: \(error.message)")
            }
        }
        settings.realmHosts = try Self.hosts("realm_hosts", &fields)
        settings.foreignLayerHosts = try Self.hosts("foreign_layer_hosts", &fields)
        let username = try fields.string("upstream_registry_username")
        let password = try fields.string("upstream_registry_password")
        try fields.finish()
        return (settings, try Self.credentials(username, password))
    }

    private static func hosts(_ name: String, _ fields: inout Fields) throws -> [String]? {
        try fields.strings(name)?.map { text in
            guard Authority.isValid(text) else { throw APIError.invalid("\(name): \"\(text)\" is no host") }
            return text.lowercased()
        }
    }

    /// The model's form sends empty strings for none.
    private static func credentials(_ username: String?, _ password: String?) throws -> UpstreamCredentials? {
        switch (username ?? "", password ?? "") {
        case ("", ""): return nil
        case (_, ""): throw APIError.invalid("upstream_registry_password: is needed with a user name")
        case ("", _): throw APIError.invalid("upstream_registry_username: is needed with a password")
        case (let username, let password):
            do { return try UpstreamCredentials(username: username, password: password) } catch {
                throw APIError.invalid("upstream_registry_username, upstream_registry_password: \(error.message)")
            }
        }
    }

    private func seal(_ login: UpstreamCredentials?, for organization: Organization) async throws -> SealedCredentials?
    {
        guard let login else { return nil }
        guard let key = try await credentials.newestKey(on: client) else {
            throw APIError.invalid("upstream_registry_password: no fetcher has a key yet that it could be sealed to")
        }
        return try CredentialSealer(SealingPublicKey(bytes: key)).seal(login, for: organization.id)
    }

    /// What the log tells of a change.
    private static func facts(_ settings: ProxyCacheSettings) -> [String: String] {
        settings.upstream.map { ["upstream_registry": $0.plainDescription] } ?? [:]
    }
}
