// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Metadata
import Models
import OCI
import Postgres
import PullThrough
import Sealing

/// The upstream of an organization. Paths, statuses and fields are the model's; `PUT` and the fields that its own lacks are
/// ours.
struct ProxyCacheRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let desk: FetchDesk
    private let store = ProxyCacheStore()
    private let credentials = CredentialStore()

    init(client: PostgresClient, access: OrganizationAccess, desk: FetchDesk) {
        self.client = client
        self.access = access
        self.desk = desk
    }

    private static let path = "organization/{orgname}/proxycache"

    var operations: [Operation] {
        [
            Operation(
                .get,
                Self.path,
                "getProxyCache",
                "The upstream of an organization; empty texts when it has none.",
                .organization(.member),
                .ok(.either(.object(Self.view), .object(Self.noView))),
                show
            ),
            Operation(
                .post,
                Self.path,
                "createProxyCache",
                "Give an organization its upstream.",
                .organization(.admin),
                body: [Schema.has("upstream_registry", .text(1...1_024), "HOST[:PORT][/NAMESPACE]")] + Self.fields,
                .says("Created", .created),
                create
            ),
            Operation(
                .put,
                Self.path,
                "changeProxyCache",
                "Change what is given; the cache stays. Another scheme, host or port needs its credentials anew.",
                .organization(.admin),
                body: [Schema.may("upstream_registry", .text(1...1_024), "HOST[:PORT][/NAMESPACE]")] + Self.fields,
                .says("Updated"),
                edit
            ),
            Operation(
                .delete,
                Self.path,
                "deleteProxyCache",
                "Take the upstream away; what is cached is still served.",
                .organization(.admin),
                .says("Deleted", .created),
                delete
            ),
            Operation(
                .post,
                "organization/{orgname}/validateproxycache",
                "validateProxyCache",
                "Try a configuration out; what isn't given is as the organization has it, its credentials too.",
                .organization(.admin),
                body: [Schema.may("upstream_registry", .text(1...1_024), "HOST[:PORT][/NAMESPACE]")] + Self.fields,
                Operation.Success(status: .accepted, schema: .choice(["Valid", "Anonymous"])),
                validate
            ),
        ]
    }

    private static let fields = [
        Schema.may("upstream_registry_username", .text(0...4_096)),
        Schema.may("upstream_registry_password", .text(0...4_096)),
        Schema.may("expiration_s", .seconds, "Lifetime of a cached tag; 0 never ends. 86400 unless it is given."),
        Schema.may("insecure", .flag, "Plain HTTP."),
        Schema.may("freshness_s", .seconds, "How long a tag is served without asking upstream; 0 unless it is given."),
        Schema.may("staleness_s", .seconds, "How long it is served while upstream fails; expiration_s unless given."),
        Schema.may("on_upstream_delete", .choice(UpstreamDeletePolicy.allCases.map(\.rawValue))),
        Schema.may("oversized", .choice(OversizedPolicy.allCases.map(\.rawValue))),
        Schema.may("platforms", .list(.text(1...255)), "Images that are fetched as soon as their index is pulled."),
        Schema.may(
            "realm_hosts",
            .list(.text(1...255)),
            "Hosts that may issue the upstream's tokens. Credentials have to be given again with a new one."
        ),
        Schema.may("foreign_layer_hosts", .list(.text(1...255)), "Hosts that foreign layers are fetched from."),
        Schema.may("org_name", .text(), "The model's clients send it; the path is what counts."),
    ]

    private static let view = [
        Schema.has("upstream_registry", .text(0...1_024)), Schema.has("expiration_s", .natural),
        Schema.has("insecure", .flag), Schema.has("freshness_s", .natural), Schema.has("staleness_s", .natural),
        Schema.has("on_upstream_delete", .choice(UpstreamDeletePolicy.allCases.map(\.rawValue))),
        Schema.has("oversized", .choice(OversizedPolicy.allCases.map(\.rawValue))),
        Schema.has("platforms", .list(.text())), Schema.has("realm_hosts", .list(.text())),
        Schema.has("foreign_layer_hosts", .list(.text())),
        Schema.has("has_credentials", .flag, "Whether there is a login; it is never shown."),
    ]
    private static let noView = [
        Schema.has("upstream_registry", .choice([""])), Schema.has("expiration_s", .choice([""])),
        Schema.has("insecure", .choice([""])),
    ]

    private struct View: Encodable {
        let upstream_registry: String
        let expiration_s: Int64
        let insecure: Bool
        let freshness_s: Int64
        let staleness_s: Int64
        let on_upstream_delete: String
        let oversized: String
        let platforms: [String]
        let realm_hosts: [String]
        let foreign_layer_hosts: [String]
        let has_credentials: Bool
    }

    /// What there is to say of no configuration, in the model's words.
    private struct NoView: Encodable {
        let upstream_registry = ""
        let expiration_s = ""
        let insecure = ""
    }

    private func show(_ call: Call) async throws -> Response {
        let organization = try call.organization
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
                oversized: config.oversized.rawValue,
                platforms: config.platforms,
                realm_hosts: config.realmHosts,
                foreign_layer_hosts: config.foreignLayerHosts,
                has_credentials: try await credentials.find(organization.id, on: client) != nil
            )
        )
    }

    private func create(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let (settings, login) = try Self.read(call.body)
        let sealed = try await seal(login, for: organization)
        try await client.withTransaction { transaction in
            guard try await store.create(settings, of: organization.id, on: transaction) else {
                throw APIError.invalid("Proxy Cache Configuration already exists")
            }
            if let sealed { _ = try await credentials.set(sealed, organization: organization.id, on: transaction) }
        }
        try await access.changed(organization, .createProxyCache, call.context, facts: Self.facts(settings))
        return try APIReply.json("Created", status: .created)
    }

    private func edit(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let (settings, login) = try Self.read(call.body)
        let sealed = try await seal(login, for: organization)
        // The model's form sends empty texts for none: they take a login away that is there.
        let clears = call.body.text("upstream_registry_username") == "" && login == nil
        try await client.withTransaction { transaction in
            guard try await store.update(settings, of: organization.id, on: transaction) else {
                throw APIError.notFound("the organization has no proxy cache configuration")
            }
            if sealed != nil || clears {
                _ = try await credentials.set(sealed, organization: organization.id, on: transaction)
            }
        }
        try await access.changed(organization, .changeProxyCache, call.context, facts: Self.facts(settings))
        return try APIReply.json("Updated")
    }

    private func delete(_ call: Call) async throws -> Response {
        let organization = try call.organization
        guard try await store.delete(of: organization.id, on: client) else {
            throw APIError.notFound("the organization has no proxy cache configuration")
        }
        try await access.changed(organization, .deleteProxyCache, call.context)
        return try APIReply.json("Deleted", status: .created)
    }

    private func validate(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let current = organization.proxyCache
        let (settings, login) = try Self.read(call.body)
        guard let address = settings.upstream ?? current?.upstream.with(isInsecure: settings.isInsecure) else {
            throw APIError.invalid("upstream_registry: is needed")
        }
        let hosts = settings.realmHosts ?? current?.realmHosts ?? []
        let isSame = address.baseURL == current?.upstream.baseURL && Set(hosts).isSubset(of: current?.realmHosts ?? [])
        let sealed = try await seal(login, for: organization)
        let check = UpstreamCheck(
            of: address,
            organization: organization.id,
            realmHosts: hosts,
            // Stored credentials are for the servers that they were stored for.
            login: sealed.map { .sealed($0) }
                ?? (isSame && !call.body.has("upstream_registry_username") ? .stored : .none)
        )
        do {
            switch try await desk.fetch(check) {
            case .valid: return try APIReply.json("Valid", status: .accepted)
            case .anonymous: return try APIReply.json("Anonymous", status: .accepted)
            }
        } catch let failure as FetchFailure {
            throw Self.refusal(failure)
        }
    }

    /// The model's sentences, which scripts look for, and the cause behind them.
    private static func refusal(_ failure: FetchFailure) -> APIError {
        switch failure.cause {
        case .denied:
            .invalid(
                "Failed login to remote registry. Please verify entered details and try again. (\(failure.message))"
            )
        case .refusedAddress: .invalid("The provided registry URL is not allowed: \(failure.message)")
        default: .invalid("Failed to validate Proxy cache configuration: \(failure.message)")
        }
    }

    // MARK: - Reading

    private static func read(_ fields: Fields) throws -> (ProxyCacheSettings, UpstreamCredentials?) {
        var settings = ProxyCacheSettings()
        let insecure = fields.flag("insecure")
        if let text = fields.text("upstream_registry") {
            do { settings.upstream = try UpstreamAddress(parsing: text).with(isInsecure: insecure) } catch {
                throw APIError.invalid("upstream_registry: \(error.message)")
            }
        } else {
            settings.isInsecure = insecure
        }
        settings.expirationSeconds = fields.integer("expiration_s")
        settings.freshnessSeconds = fields.integer("freshness_s")
        if fields.has("staleness_s") { settings.stalenessSeconds = .some(fields.integer("staleness_s")) }
        settings.onUpstreamDelete = fields.text("on_upstream_delete").flatMap(UpstreamDeletePolicy.init)
        settings.oversized = fields.text("oversized").flatMap(OversizedPolicy.init)
        settings.platforms = try fields.texts("platforms")?.map { text in
            do throws(OCIError) {
                return try Platform(text)
            } catch {
                throw APIError.invalid("platforms: \(error.message)")
            }
        }
        settings.realmHosts = try hosts("realm_hosts", fields)
        settings.foreignLayerHosts = try hosts("foreign_layer_hosts", fields)
        let login = try credentials(
            fields.text("upstream_registry_username"),
            fields.text("upstream_registry_password")
        )
        return (settings, login)
    }

    private static func hosts(_ name: String, _ fields: Fields) throws -> [String]? {
        try fields.texts(name)?.map { text in
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
        var facts: [String: String] = [:]
        facts["upstream_registry"] = settings.upstream?.plainDescription
        facts["insecure"] = settings.isInsecure.map { "\($0)" }
        return facts
    }
}
