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

    /// Changes what the settings say; credentials and cached images stay.
    /// - Returns: false when the organization has no upstream
    package func update(
        _ settings: ProxyCacheSettings,
        of organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        let staleness = settings.stalenessSeconds ?? nil
        let upstream = settings.upstream
        return try await db.execute(
            """
            UPDATE proxy_cache_config SET
                upstream_registry = coalesce(\(upstream?.registry), upstream_registry),
                upstream_namespace = CASE WHEN \(upstream != nil) THEN \(upstream?.namespace?.rawValue)
                    ELSE upstream_namespace END,
                insecure = coalesce(\(upstream?.isInsecure), insecure),
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
                generation = generation + 1, updated_at = now()
            WHERE organization_id = \(organization.rawValue)
            """
        ) == 1
    }

    /// Takes the upstream away; what is cached stays, and is served.
    /// - Returns: false when there is none
    package func delete(of organization: OrganizationID, on db: some Queryable) async throws -> Bool {
        try await db.execute("DELETE FROM proxy_cache_config WHERE organization_id = \(organization.rawValue)") == 1
    }
}
