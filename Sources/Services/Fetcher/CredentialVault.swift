// SPDX-License-Identifier: Apache-2.0

package import Logging
import Metadata
package import Models
package import Postgres
package import Sealing
import ServiceLifecycle
import Upstream

/// The fetchers' private keys, and what they open. Credentials are read and opened when a request needs them, and kept by
/// nobody.
package struct CredentialVault: CredentialSource, Service {
    private let keys: [SealingPrivateKey]
    private let opener: CredentialOpener
    private let client: PostgresClient
    private let logger: Logger
    private let store = CredentialStore()

    /// - Parameter keys: newest first
    package init(keys: [SealingPrivateKey], client: PostgresClient, logger: Logger) {
        self.keys = keys
        self.opener = CredentialOpener(keys)
        self.client = client
        self.logger = logger
    }

    package func credentials(
        for organization: OrganizationID,
        at upstream: UpstreamAddress
    ) async throws -> UpstreamCredentials? {
        guard let sealed = try await store.find(organization, at: upstream, on: client) else { return nil }
        return try open(sealed, for: organization)
    }

    /// Throws ``FetchFailure`` for what no key of this fetcher opens.
    func open(_ sealed: SealedCredentials, for organization: OrganizationID) throws -> UpstreamCredentials {
        do {
            return try opener.open(sealed, for: organization)
        } catch {
            logger.error(
                "credentials can't be opened",
                metadata: ["organization": "\(organization)", "error": "\(error)"]
            )
            throw FetchFailure(.denied, "the organization's credentials can't be opened: \(error)")
        }
    }

    /// Makes the public keys known, and seals to the newest what was sealed to an older one that is still at hand. Then
    /// there is nothing to do until shutdown.
    package func run() async throws {
        try await makeReady()
        try await gracefulShutdown()
    }

    /// Oldest first, so that the newest is known as the newest. Safe to repeat, and to do in several fetchers at once.
    package func makeReady() async throws {
        for key in keys.reversed() {
            try await store.register(keyID: key.publicKey.id, publicKey: key.publicKey.bytes, on: client)
        }
        guard let newest = keys.first else { return }
        try await store.prefer(keyID: newest.publicKey.id, on: client)
        let sealer = CredentialSealer(newest.publicKey)
        for (organization, sealed) in try await store.sealed(otherThan: newest.publicKey.id, on: client)
        where opener.canOpen(sealed) {
            let credentials = try opener.open(sealed, for: organization)
            let fresh = try sealer.seal(credentials, for: organization)
            try await store.reseal(sealed, as: fresh, organization: organization, on: client)
            logger.notice("credentials sealed to the newest key", metadata: ["organization": "\(organization)"])
        }
    }
}
