// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import Postgres

/// Sealed credentials of proxy organizations, and the public keys that they are sealed to.
package struct CredentialStore: Sendable {
    package init() {}

    /// Makes a fetcher's public key known. Safe to repeat.
    package func register(keyID: String, publicKey: [UInt8], on db: some Queryable) async throws {
        try await db.query(
            """
            INSERT INTO sealing_key (id, public_key) VALUES (\(keyID), \(Data(publicKey)))
            ON CONFLICT (id) DO NOTHING
            """
        )
    }

    /// Has credentials sealed to this key from now on, which was registered. It may be one that was the newest before: then
    /// somebody has gone back to it.
    package func prefer(keyID: String, on db: some Queryable) async throws {
        try await db.query(
            """
            UPDATE sealing_key SET created_at = clock_timestamp()
            WHERE id = \(keyID) AND id <> (SELECT id FROM sealing_key ORDER BY created_at DESC, id LIMIT 1)
            """
        )
    }

    /// The public key that credentials are to be sealed to; nil before any fetcher has made one known.
    package func newestKey(on db: some Queryable) async throws -> [UInt8]? {
        let key = try await db.query("SELECT public_key FROM sealing_key ORDER BY created_at DESC, id LIMIT 1")
            .decodeFirst(Data.self)
        return key.map { [UInt8]($0) }
    }

    /// Sets (nil: removes) an organization's credentials. What was obtained with the old ones isn't used any more; the
    /// cache stays.
    /// - Returns: false when the organization proxies nothing.
    package func set(
        _ sealed: SealedCredentials?,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> Bool {
        try await db.execute(
            """
            UPDATE proxy_cache_config
            SET sealed_credentials = \(sealed.map { Data($0.bytes) }), sealing_key_id = \(sealed?.keyID),
                generation = generation + 1, updated_at = now()
            WHERE organization_id = \(organization.rawValue)
            """
        ) == 1
    }

    /// - Parameter upstream: for whom they are wanted: nil unless it is still the organization's, whatever the namespace
    package func find(
        _ organization: OrganizationID,
        at upstream: UpstreamAddress? = nil,
        on db: some Queryable
    ) async throws -> SealedCredentials? {
        let isServer = upstream.map { ProxyCacheStore.isServer(of: $0) } ?? "true"
        return try await db.query(
            """
            SELECT sealed_credentials, sealing_key_id FROM proxy_cache_config c
            WHERE organization_id = \(organization.rawValue) AND sealed_credentials IS NOT NULL AND \(isServer)
            """
        ).decodeFirst((Data, String).self).map { SealedCredentials(bytes: Array($0.0), keyID: $0.1) }
    }

    /// Credentials that are sealed to another key than this one.
    package func sealed(
        otherThan keyID: String,
        on db: some Queryable
    ) async throws -> [(organization: OrganizationID, sealed: SealedCredentials)] {
        try await db.query(
            """
            SELECT organization_id, sealed_credentials, sealing_key_id FROM proxy_cache_config
            WHERE sealing_key_id <> \(keyID) ORDER BY organization_id
            """
        ).decode((Int64, Data, String).self).map {
            (OrganizationID(rawValue: $0.0), SealedCredentials(bytes: Array($0.1), keyID: $0.2))
        }
    }

    /// Replaces one form of the same credentials by another; they are the same, so nothing else changes.
    package func reseal(
        _ old: SealedCredentials,
        as new: SealedCredentials,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws {
        try await db.query(
            """
            UPDATE proxy_cache_config SET sealed_credentials = \(Data(new.bytes)), sealing_key_id = \(new.keyID)
            WHERE organization_id = \(organization.rawValue) AND sealed_credentials = \(Data(old.bytes))
            """
        )
    }
}
