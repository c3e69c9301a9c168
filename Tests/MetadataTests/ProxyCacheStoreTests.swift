// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Upstream settings", .timeLimit(.minutes(2)))
struct ProxyCacheStoreTests {
    private static let proxies = ProxyCacheStore()
    private static let credentials = CredentialStore()
    private static let sealed = SealedCredentials(bytes: [1, 2, 3], keyID: "key")

    private static func settings(_ upstream: String?, realmHosts: [String]? = nil) throws -> ProxyCacheSettings {
        var settings = ProxyCacheSettings()
        settings.upstream = try upstream.map { try UpstreamAddress(parsing: $0) }
        settings.realmHosts = realmHosts
        return settings
    }

    /// Gives the organization an upstream, one token server and credentials.
    private static func reset(_ stores: Stores, _ upstream: String, on db: some Queryable) async throws {
        let settings = try Self.settings(upstream, realmHosts: ["known.example"])
        #expect(try await proxies.update(settings, of: stores.organization, on: db))
        #expect(try await credentials.set(sealed, organization: stores.organization, on: db))
    }

    private static func hasLogin(_ stores: Stores) async throws -> Bool {
        try await credentials.find(stores.organization, on: stores.client) != nil
    }

    @Test(
        "credentials stay with a change unless another server, or another token server, would get them",
        arguments: [
            ("quay.io", "quay.io", nil, true), ("quay.io", "quay.io/team", nil, true), ("quay.io", nil, nil, true),
            ("quay.io", "ghcr.io", nil, false), ("quay.io", "quay.io:8443", nil, false),
            ("quay.io", "http://quay.io", nil, false), ("docker.io", "index.docker.io/library", nil, true),
            ("quay.io", nil, ["known.example"], true), ("quay.io", nil, [], true),
            ("quay.io", nil, ["other.example"], false), ("quay.io", nil, ["known.example", "other.example"], false),
            ("quay.io", "ghcr.io", ["known.example"], false),
        ] as [(String, String?, [String]?, Bool)]
    )
    func credentialsStay(old: String, new: String?, realmHosts: [String]?, stay: Bool) async throws {
        try await TestDatabase.withStores { stores in
            try await Self.reset(stores, old, on: stores.client)
            let settings = try Self.settings(new, realmHosts: realmHosts)
            #expect(try await Self.proxies.update(settings, of: stores.organization, on: stores.client))
            #expect(try await Self.hasLogin(stores) == stay)
        }
    }

    @Test(
        "credentials are for the organization's own upstream, whoever asks for them",
        arguments: [
            ("quay.io", true), ("quay.io/team", true), ("http://quay.io", false), ("quay.io:8443", false),
            ("ghcr.io", false),
        ]
    )
    func ownUpstream(_ upstream: String, _ isFound: Bool) async throws {
        try await TestDatabase.withStores { stores in
            try await Self.reset(stores, "quay.io", on: stores.client)
            let address = try UpstreamAddress(parsing: upstream)
            let found = try await Self.credentials.find(stores.organization, at: address, on: stores.client)
            #expect((found != nil) == isFound)
        }
    }

    @Test("an organization that is pointed at another server has no credentials any more")
    func pointedElsewhere() async throws {
        try await TestDatabase.withStores { stores in
            let found = try #require(try await stores.organizations.find(stores.organization, on: stores.client))
            for (upstream, stay) in [("quay.io/team", true), ("http://quay.io", false), ("ghcr.io", false)] {
                try await Self.reset(stores, "quay.io", on: stores.client)
                let address = try UpstreamAddress(parsing: upstream)
                try await stores.organizations.proxy(found.name, from: address, on: stores.client)
                #expect(try await Self.hasLogin(stores) == stay, "\(upstream)")
            }
        }
    }

    @Test("a change that has waited for another one takes no credentials to where that one has left")
    func concurrent() async throws {
        try await TestDatabase.withStores { stores in
            try await Self.reset(stores, "quay.io", on: stores.client)
            let back = try await stores.client.withTransaction { transaction in
                try await Self.reset(stores, "ghcr.io", on: transaction)
                // Back to what everybody else still sees.
                let settings = try Self.settings("quay.io")
                let back = Task { try await Self.proxies.update(settings, of: stores.organization, on: stores.client) }
                try await stores.client.untilSomebodyWaits(for: transaction)
                return back
            }
            #expect(try await back.value)
            #expect(try await !Self.hasLogin(stores))
        }
    }
}
