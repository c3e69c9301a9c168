// SPDX-License-Identifier: Apache-2.0

package import Models
import OCI
package import Postgres

/// Upstream settings of organizations.
package struct ProxyCacheStore: Sendable {
    package init() {}

    /// Gives an organization its upstream, with defaults for what the settings leave out.
    /// - Returns: false when it has one
    /// - Throws: ``MetadataError`` when the settings name no upstream
    package func create(
        _ settings: ProxyCacheSettings,
        of organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        guard let upstream = settings.upstream else { throw MetadataError(.corruptRow, "an upstream is needed") }
        let made = try await db.execute(
            """
            INSERT INTO proxy_cache_config (organization_id, upstream_registry, upstream_namespace, insecure)
            VALUES (\(organization.rawValue), \(upstream.registry), \(upstream.namespace?.rawValue),
                \(upstream.isInsecure))
            ON CONFLICT (organization_id) DO NOTHING
            """
        )
        guard made == 1 else { return false }
        return try await update(settings, of: organization, on: db)
    }

    /// Changes what the settings say; cached images stay. Credentials stay too, unless somebody would get them who didn't
    /// before: another server, or a token server that wasn't listed. New ones are set afterwards, in the same transaction.
    /// - Returns: false when the organization has no upstream
    package func update(
        _ settings: ProxyCacheSettings,
        of organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        let staleness = settings.stalenessSeconds ?? nil
        let upstream = settings.upstream
        let keepsLogin = Self.keepsLogin(settings)
        return try await db.execute(
            """
            UPDATE proxy_cache_config c SET
                upstream_registry = coalesce(\(upstream?.registry), upstream_registry),
                upstream_namespace = CASE WHEN \(upstream != nil) THEN \(upstream?.namespace?.rawValue)
                    ELSE upstream_namespace END,
                insecure = coalesce(\(upstream?.isInsecure ?? settings.isInsecure), insecure),
                freshness_s = coalesce(\(settings.freshnessSeconds), freshness_s),
                expiration_s = coalesce(\(settings.expirationSeconds), expiration_s),
                staleness_s = CASE WHEN \(settings.stalenessSeconds != nil) THEN \(staleness) ELSE staleness_s END,
                on_upstream_delete = coalesce(\(settings.onUpstreamDelete?.rawValue), on_upstream_delete),
                oversized = coalesce(\(settings.oversized?.rawValue), oversized),
                platforms = CASE WHEN \(settings.platforms != nil)
                    THEN \((settings.platforms ?? []).map(\.description))::text[] ELSE platforms END,
                realm_hosts = CASE WHEN \(settings.realmHosts != nil)
                    THEN \(settings.realmHosts ?? [])::text[] ELSE realm_hosts END,
                foreign_layer_hosts = CASE WHEN \(settings.foreignLayerHosts != nil)
                    THEN \(settings.foreignLayerHosts ?? [])::text[] ELSE foreign_layer_hosts END,
                -- compared with the row as it is now, and not with what the caller has seen of it
                sealed_credentials = CASE WHEN \(keepsLogin) THEN sealed_credentials END,
                sealing_key_id = CASE WHEN \(keepsLogin) THEN sealing_key_id END,
                generation = generation + 1, updated_at = now()
            WHERE organization_id = \(organization.rawValue)
            """
        ) == 1
    }

    /// SQL: whether those who get the credentials of row `c` after a change got them before.
    private static func keepsLogin(_ settings: ProxyCacheSettings) -> Query {
        let isSameScheme = settings.isInsecure.map { isInsecure -> Query in "c.insecure = \(isInsecure)" } ?? "true"
        let isSameServer = settings.upstream.map { isServer(of: $0) } ?? isSameScheme
        let addsNoHost = settings.realmHosts.map { hosts -> Query in "\(hosts)::text[] <@ c.realm_hosts" } ?? "true"
        return "\(isSameServer) AND \(addsNoHost)"
    }

    /// SQL: whether row `c` has the base URL of this upstream, whatever its namespace.
    static func isServer(of upstream: UpstreamAddress) -> Query {
        "(c.upstream_registry = ANY(\(upstream.registryNames)::text[]) AND c.insecure = \(upstream.isInsecure))"
    }

    /// Takes the upstream away; what is cached stays, and is served.
    /// - Returns: false when there is none
    package func delete(of organization: OrganizationID, on db: some Queryable) async throws -> Bool {
        try await db.execute("DELETE FROM proxy_cache_config WHERE organization_id = \(organization.rawValue)") == 1
    }
}
