// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport

enum TestDatabase {
    /// One migrated database for all stores; each test has organizations and contents of its own. It sorts text as
    /// people do, so that a list in the order of bytes is one on purpose.
    private static let migrated = Task {
        let empty = try await PostgresCluster.shared().makeDatabase()
        try await withClient(of: empty) { client in
            _ = try await client.query(
                """
                CREATE DATABASE metadata_stores TEMPLATE template0 ENCODING 'UTF8'
                    LOCALE_PROVIDER icu ICU_LOCALE 'en' LC_COLLATE 'C' LC_CTYPE 'C'
                """
            )
        }
        let string = try await PostgresCluster.shared().connectionString("metadata_stores")
        try await withClient(of: string) { client in _ = try await Migrator().migrate(client) }
        return string
    }

    static func withClient<Result>(
        of connectionString: String,
        _ body: (PostgresClient) async throws -> Result
    ) async throws -> Result {
        let client = PostgresClient(
            PostgresConfiguration.patient(connectionString, maximumConnections: 8),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    /// Gives `body` a client of the stores' database and an organization that nobody else uses.
    static func withStores<Result>(_ body: (Stores) async throws -> Result) async throws -> Result {
        try await withClient(of: try await migrated.value) { client in
            try await body(Stores(client: client, organization: try await Stores.makeOrganization(on: client)))
        }
    }
}

/// The stores, over an organization of the test's own.
struct Stores: Sendable {
    let client: PostgresClient
    let organization: OrganizationID
    let organizations = OrganizationStore()
    let manifests = ManifestStore()
    let blobs = BlobStore()
    let tags = TagStore()
    let lists = ListStore()

    static func uniqueName() throws -> OrganizationName {
        try OrganizationName("org-" + UUID().uuidString.lowercased())
    }

    static func makeOrganization(on client: PostgresClient) async throws -> OrganizationID {
        let name = try uniqueName()
        let upstream = UpstreamAddress(registry: "quay.io", namespace: nil, isInsecure: false)
        try await OrganizationStore().proxy(name, from: upstream, on: client)
        guard let organization = try await OrganizationStore().find(name, on: client) else {
            throw TestSupportError("the organization that was just made isn't there")
        }
        return organization.id
    }

    func repository(_ name: String = "library/alpine") throws -> RepositoryName { try RepositoryName(name) }

    /// Stores an image as a fetch does: in one transaction.
    @discardableResult
    func store(
        _ image: ImageFixture,
        in repository: String = "library/alpine",
        of organization: OrganizationID? = nil,
        as mediaType: MediaType? = nil
    ) async throws -> (repository: RepositoryID, manifest: ManifestID) {
        let type = try mediaType ?? MediaType(image.mediaType)
        let document = try ManifestDocument(bytes: image.bytes, contentType: type)
        return try await client.withTransaction { transaction in
            try await manifests.store(
                document,
                bytes: image.bytes,
                digest: image.digest,
                repository: try self.repository(repository),
                organization: organization ?? self.organization,
                on: transaction
            )
        }
    }

    /// Stores an image and makes the tag name it.
    @discardableResult
    func tag(_ tag: String, _ image: ImageFixture, in repository: String = "library/alpine") async throws -> TagRecord?
    {
        let document = try ManifestDocument(bytes: image.bytes, contentType: MediaType(image.mediaType))
        try await client.withTransaction { transaction in
            let (repositoryID, manifest) = try await manifests.store(
                document,
                bytes: image.bytes,
                digest: image.digest,
                repository: self.repository(repository),
                organization: organization,
                keeping: .tag,
                on: transaction
            )
            try await tags.point(
                TagName(tag),
                at: manifest,
                repository: repositoryID,
                expiration: .seconds(86_400),
                on: transaction
            )
        }
        return try await find(tag, in: repository)
    }

    func find(_ tag: String, in repository: String = "library/alpine") async throws -> TagRecord? {
        try await tags.find(
            TagName(tag),
            repository: self.repository(repository),
            organization: organization,
            on: client
        )
    }

    func count(_ query: Query) async throws -> Int? {
        let count: Int? = try await client.query(query).decodeFirst(Int.self)
        return count
    }
}

extension ImageFixture {
    /// An image that no other test has, with this many layers.
    static func unique(layers: Int = 1) -> ImageFixture {
        .image(layers: (0..<layers).map { _ in .unique() }, config: .unique())
    }

    /// An artifact that is attached to another manifest.
    static func artifact(attachedTo subject: ImageFixture) -> ImageFixture {
        let reference = descriptor(subject.mediaType, subject.digest, Int64(subject.bytes.count))
        return .image(
            layers: [.unique()],
            configType: "application/vnd.example.sbom",
            extra: ",\"subject\":\(reference)"
        )
    }
}

extension ImageFixture.Blob {
    /// Content that no other test has.
    static func unique() -> Self { .text(UUID().uuidString) }
}
