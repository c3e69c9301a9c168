// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import Testing

@Suite("Organizations", .timeLimit(.minutes(2)))
struct OrganizationStoreTests {
    private static let quay = UpstreamAddress(registry: "quay.io", namespace: nil, isInsecure: false)

    @Test("a new proxy organization is found by name and by id, with the default settings")
    func add() async throws {
        try await TestDatabase.withStores { stores in
            let name = try Stores.uniqueName()
            let upstream = try UpstreamAddress(parsing: "http://registry.example:5000/team/images")
            try await stores.organizations.proxy(name, from: upstream, on: stores.client)
            let found = try #require(try await stores.organizations.find(name, on: stores.client))
            #expect(found.name == name)
            #expect(found.proxyCache == ProxyCacheConfig(upstream: upstream))
            #expect(found.proxyCache?.staleness == found.proxyCache?.expiration)
            #expect(try await stores.organizations.find(found.id, on: stores.client) == found)
        }
    }

    @Test("who doesn't exist isn't found")
    func absent() async throws {
        try await TestDatabase.withStores { stores in
            let name = try Stores.uniqueName()
            #expect(try await stores.organizations.find(name, on: stores.client) == nil)
            #expect(try await stores.organizations.find(OrganizationID(rawValue: -1), on: stores.client) == nil)
        }
    }

    @Test("the generation grows with every change of the upstream, and only with a change")
    func generation() async throws {
        try await TestDatabase.withStores { stores in
            let name = try Stores.uniqueName()
            let changes: [(String, Int64)] = [
                ("quay.io", 1), ("quay.io", 1), ("quay.io/team", 2), ("quay.io/team", 2), ("quay.io/other", 3),
                ("quay.io", 4), ("http://quay.io", 5), ("http://quay.io", 5), ("ghcr.io", 6), ("quay.io", 7),
            ]
            for (text, generation) in changes {
                let upstream = try UpstreamAddress(parsing: text)
                try await stores.organizations.proxy(name, from: upstream, on: stores.client)
                let config = try await stores.organizations.find(name, on: stores.client)?.proxyCache
                #expect(config?.upstream == upstream, "\(text)")
                #expect(config?.generation == generation, "\(text)")
            }
        }
    }

    @Test("an organization that is pointed elsewhere keeps its id and its other settings")
    func settingsStay() async throws {
        try await TestDatabase.withStores { stores in
            try await stores.client.query(
                """
                UPDATE proxy_cache_config SET freshness_s = 60, expiration_s = 600, staleness_s = 6000
                WHERE organization_id = \(stores.organization.rawValue)
                """
            )
            let before = try #require(try await stores.organizations.find(stores.organization, on: stores.client))
            #expect(before.proxyCache?.freshness == .seconds(60))
            #expect(before.proxyCache?.expiration == .seconds(600))
            #expect(before.proxyCache?.staleness == .seconds(6_000))
            let other = UpstreamAddress(registry: "ghcr.io", namespace: nil, isInsecure: false)
            try await stores.organizations.proxy(before.name, from: other, on: stores.client)
            let after = try #require(try await stores.organizations.find(before.name, on: stores.client))
            #expect(after.id == before.id)
            #expect(after.proxyCache?.upstream == other)
            #expect(after.proxyCache?.freshness == .seconds(60))
            #expect(after.proxyCache?.staleness == .seconds(6_000))
        }
    }

    @Test("an organization without upstream is one that proxies nothing, until it is given one")
    func withoutUpstream() async throws {
        try await TestDatabase.withStores { stores in
            let name = try Stores.uniqueName()
            try await stores.client.query("INSERT INTO organization (name) VALUES (\(name.rawValue))")
            let found = try #require(try await stores.organizations.find(name, on: stores.client))
            #expect(found.proxyCache == nil)
            try await stores.organizations.proxy(name, from: Self.quay, on: stores.client)
            #expect(try await stores.organizations.find(found.id, on: stores.client)?.proxyCache?.upstream == Self.quay)
        }
    }

    @Test("all organizations are listed by name, with and without upstream")
    func all() async throws {
        try await TestDatabase.withStores { stores in
            let stem = try Stores.uniqueName().rawValue
            let names = try ["b", "c", "a"].map { try OrganizationName(stem + $0) }
            for name in names.dropLast() {
                try await stores.organizations.proxy(name, from: Self.quay, on: stores.client)
            }
            try await stores.client.query("INSERT INTO organization (name) VALUES (\(names[2].rawValue))")
            let listed = try await stores.organizations.all(on: stores.client).filter {
                $0.name.rawValue.hasPrefix(stem)
            }
            #expect(listed.map(\.name.rawValue) == ["a", "b", "c"].map { stem + $0 })
            #expect(listed.map { $0.proxyCache != nil } == [false, true, true])
        }
    }

    @Test("several who add one organization at once make one")
    func concurrent() async throws {
        try await TestDatabase.withStores { stores in
            let name = try Stores.uniqueName()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await stores.organizations.proxy(name, from: Self.quay, on: stores.client) }
                }
                try await group.waitForAll()
            }
            let found = try await stores.organizations.find(name, on: stores.client)
            #expect(found?.proxyCache?.generation == 1)
        }
    }

    @Test("a row that breaks a rule is an error that names the column and not the value")
    func corruptRow() async throws {
        try await TestDatabase.withStores { stores in
            // Never committed: other tests list all organizations.
            let error = await #expect(throws: MetadataError.self) {
                try await stores.client.withTransaction { transaction in
                    try await transaction.query(
                        """
                        UPDATE proxy_cache_config SET upstream_namespace = 'NOT A NAMESPACE'
                        WHERE organization_id = \(stores.organization.rawValue)
                        """
                    )
                    _ = try await stores.organizations.find(stores.organization, on: transaction)
                }
            }
            #expect(error?.code == .corruptRow)
            #expect(error?.message.contains("upstream_namespace") == true)
            #expect(error?.message.contains("NOT A") == false)
        }
    }
}
