// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import Postgres
import TestSupport
import Testing

@testable import Metadata

extension Stores {
    /// Gives the repository so many manifests of 100 bytes, which name no blob, each with a tag of its own.
    func fill(_ name: String = "library/alpine", images: Int) async throws -> RepositoryID {
        let repository = try await RepositoryStore().ensure(
            self.repository(name),
            organization: organization,
            on: client
        )
        try await client.withTransaction { transaction in
            try await usages.lock(organization, on: transaction)
            let manifests = try await transaction.query(
                """
                INSERT INTO manifest (digest, kind, size_bytes, bytes)
                SELECT 'sha256:' || encode(sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'hex'), 'image', 100, ''
                FROM generate_series(1, \(images)) RETURNING id
                """
            ).decode(Int64.self)
            try await transaction.query(
                """
                INSERT INTO repository_manifest (repository_id, manifest_id, media_type)
                SELECT \(repository.rawValue), id, \(ImageFixture.ociManifest) FROM unnest(\(manifests)::bigint[]) m (id)
                """
            )
            try await transaction.query(
                """
                INSERT INTO tag (repository_id, name, manifest_id)
                SELECT \(repository.rawValue), 't' || id, id FROM unnest(\(manifests)::bigint[]) m (id) ORDER BY id
                """
            )
        }
        return repository
    }

    func members(of repository: RepositoryID) async throws -> Int? {
        try await count("SELECT count(*) FROM repository_manifest WHERE repository_id = \(repository.rawValue)")
    }
}

@Suite("Deleting repositories and organizations", .timeLimit(.minutes(2)))
struct DeletionTests {
    /// Deletes while somebody holds the manifest that goes last.
    /// - Returns: how many manifests are left while the deletion waits for that one
    private func membersLeft(
        of repository: RepositoryID,
        _ stores: Stores,
        deleting: @escaping @Sendable () async throws -> Void
    ) async throws -> Int? {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let left = try await stores.client.withTransaction { transaction in
                try await transaction.query(
                    """
                    SELECT 1 FROM repository_manifest WHERE repository_id = \(repository.rawValue)
                    ORDER BY manifest_id LIMIT 1 FOR UPDATE
                    """
                )
                group.addTask { try await deleting() }
                try await stores.client.untilSomebodyWaits(for: transaction)
                return try await stores.members(of: repository)
            }
            try await group.waitForAll()
            return left
        }
    }

    @Test("a large repository goes batch by batch, and what was counted of it goes along")
    func largeRepository() async throws {
        try await TestDatabase.withStores { stores in
            let name = try stores.repository()
            let repository = try await stores.fill(images: 600)
            #expect(try await stores.usage().liveBytes == 60_000)
            let left = try await membersLeft(of: repository, stores) {
                let isDeleted = try await RepositoryStore().delete(
                    name,
                    organization: stores.organization,
                    on: stores.client
                )
                #expect(isDeleted)
            }
            #expect((1..<600).contains(left ?? 0))
            let found = try await RepositoryStore().find(name, organization: stores.organization, on: stores.client)
            #expect(found == nil)
            #expect(try await stores.usage() == Usage())
            try await stores.expectProof()
            let isDeleted = try await RepositoryStore().delete(
                name,
                organization: stores.organization,
                on: stores.client
            )
            #expect(!isDeleted, "it is gone already")
        }
    }

    @Test("a large organization goes batch by batch")
    func largeOrganization() async throws {
        try await TestDatabase.withStores { stores in
            let repository = try await stores.fill(images: 600)
            try await stores.tag("t", .unique(), in: "library/busybox")
            let left = try await membersLeft(of: repository, stores) {
                try await stores.organizations.delete(stores.organization, on: stores.client)
            }
            #expect((1..<600).contains(left ?? 0))
            #expect(try await stores.organizations.find(stores.organization, on: stores.client) == nil)
            #expect(try await stores.members(of: repository) == 0)
        }
    }

    @Test("a deletion that the server ends to break a circle of waiters is done again, once")
    func circle() async throws {
        try await TestDatabase.withStores { stores in
            for (failures, expected) in [(1, nil), (9, .deadlockDetected)] as [(Int, SQLState?)] {
                var runs = 0
                var state: SQLState?
                do {
                    try await stores.client.withRetriedTransaction { transaction in
                        runs += 1
                        guard runs <= failures else { return }
                        try await transaction.query("DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END$$")
                    }
                } catch let error as PostgresError {
                    state = error.sqlState
                }
                #expect(runs == 2)
                #expect(state == expected)
            }
        }
    }

    @Test("lifetimes are forgotten while their organization is deleted")
    func forgotten() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            try await stores.tag("t", image)
            #expect(try await stores.end("t"))
            let name = try stores.repository()
            let repository = try #require(
                try await RepositoryStore().find(name, organization: stores.organization, on: stores.client)
            )
            try await withThrowingTaskGroup(of: Void.self) { group in
                // As the collector does.
                try await stores.client.withTransaction { transaction in
                    try await transaction.query(
                        "SELECT 1 FROM tag WHERE repository_id = \(repository.rawValue) FOR UPDATE"
                    )
                    group.addTask { try await stores.organizations.delete(stores.organization, on: stores.client) }
                    try await stores.client.untilSomebodyWaits(for: transaction)
                    try await transaction.query("DELETE FROM tag WHERE repository_id = \(repository.rawValue)")
                }
                try await group.waitForAll()
            }
            #expect(try await stores.organizations.find(stores.organization, on: stores.client) == nil)
        }
    }
}
