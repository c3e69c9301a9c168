// SPDX-License-Identifier: Apache-2.0

package import Models
import OCI
package import Postgres

/// Organizations and their upstreams.
package struct OrganizationStore: Sendable {
    private let columns = """
        o.id, o.name, o.public_pull, c.upstream_registry, c.upstream_namespace, c.insecure,
        c.freshness_s, c.expiration_s, c.staleness_s, c.on_upstream_delete, c.generation,
        c.realm_hosts, c.platforms, c.foreign_layer_hosts, c.oversized, o.time_machine_s,
        o.block_severity, o.unscanned
        """

    package init() {}

    package func find(_ name: OrganizationName, on db: some Queryable) async throws -> Organization? {
        try await db.query(
            prepared: """
                SELECT \(unescaped: columns)
                FROM organization o LEFT JOIN proxy_cache_config c ON c.organization_id = o.id
                WHERE o.name = \(name.rawValue)
                """
        ).first.map(Self.organization)
    }

    package func find(_ id: OrganizationID, on db: some Queryable) async throws -> Organization? {
        try await db.query(
            prepared: """
                SELECT \(unescaped: columns)
                FROM organization o LEFT JOIN proxy_cache_config c ON c.organization_id = o.id
                WHERE o.id = \(id.rawValue)
                """
        ).first.map(Self.organization)
    }

    /// All organizations by name.
    package func all(on db: some Queryable) async throws -> [Organization] {
        try await db.query(
            """
            SELECT \(unescaped: columns)
            FROM organization o LEFT JOIN proxy_cache_config c ON c.organization_id = o.id
            ORDER BY o.name
            """
        ).map(Self.organization)
    }

    /// Organizations by name, after `name`.
    /// - Parameter account: only those that it has a role in, or is a robot of; nil for all
    package func page(
        after name: String,
        of account: AccountID?,
        limit: Int,
        on db: some Queryable
    ) async throws -> [Organization] {
        try await db.query(
            """
            SELECT \(unescaped: columns)
            FROM organization o LEFT JOIN proxy_cache_config c ON c.organization_id = o.id
            WHERE o.name COLLATE "C" > \(name) AND (\(account?.rawValue)::bigint IS NULL OR o.id IN (
                SELECT organization_id FROM membership WHERE account_id = \(account?.rawValue)
                UNION ALL SELECT organization_id FROM account WHERE id = \(account?.rawValue)
            ))
            ORDER BY o.name COLLATE "C" LIMIT \(limit)
            """
        ).map(Self.organization)
    }

    /// Makes an organization without upstream. Returns false when there is one of that name.
    package func create(_ name: OrganizationName, isPublic: Bool, on db: some Queryable) async throws -> Bool {
        try await db.execute(
            """
            INSERT INTO organization (name, public_pull) VALUES (\(name.rawValue), \(isPublic))
            ON CONFLICT (name) DO NOTHING
            """
        ) == 1
    }

    /// Removes the organization with its members, robots and repositories, these first and batch by batch. The log keeps its
    /// name; the garbage collector takes what nothing references any more. A deletion that didn't come to its end is gone on
    /// with when it is called again.
    package func delete(_ organization: OrganizationID, on client: PostgresClient) async throws {
        try await RepositoryStore().deleteAll(of: organization, on: client)
        // What was stored meanwhile goes along.
        try await client.withRetriedTransaction { transaction in
            try await UsageStore().lock(organization, on: transaction)
            try await transaction.query("DELETE FROM organization WHERE id = \(organization.rawValue)")
        }
    }

    /// Changes what the settings say, all of it or nothing; what they leave out may be changed by others meanwhile.
    /// - Returns: false when the organization isn't there (any more)
    package func change(
        _ settings: OrganizationSettings,
        of organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        let timeMachine: Int64? = settings.timeMachineSeconds ?? nil
        let severity: Severity? = settings.blockSeverity ?? nil
        return try await db.execute(
            """
            UPDATE organization SET
                public_pull = coalesce(\(settings.isPublic), public_pull),
                time_machine_s = CASE WHEN \(settings.timeMachineSeconds != nil) THEN \(timeMachine)
                    ELSE time_machine_s END,
                keeps_pruned = coalesce(\(settings.keepsPruned), keeps_pruned),
                block_severity = CASE WHEN \(settings.blockSeverity != nil) THEN \(severity?.name)
                    ELSE block_severity END,
                unscanned = coalesce(\(settings.unscanned?.rawValue), unscanned)
            WHERE id = \(organization.rawValue)
            """
        ) == 1
    }

    /// Makes the organization, or points the one that exists at this upstream. Its cached images stay; its credentials
    /// stay with the server that they are for.
    /// - Parameter isPublic: of an organization that is made
    package func proxy(
        _ name: OrganizationName,
        from upstream: UpstreamAddress,
        isPublic: Bool = false,
        on db: some Queryable
    ) async throws {
        let isSameServer = ProxyCacheStore.isServer(of: upstream)
        try await db.query(
            """
            WITH target AS (
                INSERT INTO organization (name, public_pull) VALUES (\(name.rawValue), \(isPublic))
                ON CONFLICT (name) DO UPDATE SET name = excluded.name
                RETURNING id
            )
            INSERT INTO proxy_cache_config AS c (organization_id, upstream_registry, upstream_namespace, insecure)
            SELECT id, \(upstream.registry), \(upstream.namespace?.rawValue), \(upstream.isInsecure) FROM target
            ON CONFLICT (organization_id) DO UPDATE
            SET upstream_registry = excluded.upstream_registry,
                upstream_namespace = excluded.upstream_namespace,
                insecure = excluded.insecure,
                sealed_credentials = CASE WHEN \(isSameServer) THEN c.sealed_credentials END,
                sealing_key_id = CASE WHEN \(isSameServer) THEN c.sealing_key_id END,
                generation = c.generation + 1,
                updated_at = now()
            WHERE (c.upstream_registry, c.upstream_namespace, c.insecure)
                IS DISTINCT FROM (excluded.upstream_registry, excluded.upstream_namespace, excluded.insecure)
            """
        )
    }

    private static func organization(_ row: Row) throws -> Organization {
        let (
            id, name, isPublic, registry, namespace, insecure, freshness, expiration, staleness, onDelete, generation,
            realmHosts, platforms, foreignLayerHosts, oversized, timeMachine, blockSeverity, unscanned
        ) = try row.decode(
            (
                Int64, String, Bool, String?, String?, Bool?, Int64?, Int64?, Int64?, String?, Int64?, [String]?,
                [String]?, [String]?, String?, Int64?, String?, String
            ).self
        )
        var config: ProxyCacheConfig?
        if let registry, let insecure, let freshness, let expiration, let onDelete, let oversized, let generation {
            config = ProxyCacheConfig(
                upstream: UpstreamAddress(
                    registry: registry,
                    namespace: try namespace.map { try parsed($0, "upstream_namespace") },
                    isInsecure: insecure
                ),
                freshness: .seconds(freshness),
                // 0 is none at all.
                expiration: expiration == 0 ? nil : .seconds(expiration),
                staleness: staleness.map { .seconds($0) },
                onUpstreamDelete: try parsed(onDelete, "on_upstream_delete"),
                oversized: try parsed(oversized, "oversized"),
                realmHosts: realmHosts ?? [],
                platforms: platforms ?? [],
                foreignLayerHosts: foreignLayerHosts ?? [],
                generation: generation
            )
        }
        return Organization(
            id: OrganizationID(rawValue: id),
            name: try parsed(name, "name"),
            proxyCache: config,
            isPublic: isPublic,
            timeMachine: timeMachine.map { .seconds($0) },
            scanPolicy: ScanPolicy(
                blockSeverity: blockSeverity.flatMap(Severity.init(name:)),
                unscanned: try parsed(unscanned, "unscanned")
            )
        )
    }
}
