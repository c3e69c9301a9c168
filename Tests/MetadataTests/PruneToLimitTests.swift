// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

@Suite("Pruning to the limit", .timeLimit(.minutes(2)))
struct PruneToLimitTests {
    private func limit(_ bytes: Int64, _ stores: Stores) async throws {
        let isMade = try await QuotaStore().create(limitBytes: bytes, of: stores.organization, on: stores.client)
        #expect(isMade)
    }

    @Test("many victims are ended part by part, the least recently used first")
    func parts() async throws {
        try await TestDatabase.withStores { stores in
            let repository = try await stores.fill(images: 600)
            try await limit(50, stores)
            try await withThrowingTaskGroup(of: Int.self) { group in
                let live = try await stores.client.withTransaction { transaction in
                    try await transaction.query(
                        """
                        SELECT 1 FROM tag WHERE repository_id = \(repository.rawValue)
                        ORDER BY id DESC LIMIT 1 FOR UPDATE
                        """
                    )
                    group.addTask {
                        try await AdmissionStore().pruneToLimit(stores.organization, on: stores.client).count
                    }
                    try await stores.client.untilSomebodyWaits(for: transaction)
                    return try await stores.count(
                        """
                        SELECT count(*) FROM tag
                        WHERE repository_id = \(repository.rawValue) AND lifetime_end_at IS NULL
                        """
                    )
                }
                #expect((1..<600).contains(live ?? 0))
                for try await ended in group { #expect(ended == 600) }
            }
            #expect(try await stores.usage().liveBytes == 0)
            try await stores.expectProof()
        }
    }

    @Test("nothing is ended when no end of anything brings the organization within its limit")
    func hopeless() async throws {
        try await TestDatabase.withStores { stores in
            let images = [ImageFixture.unique(), .unique()]
            try await stores.tag("pinned", images[0])
            try await stores.tag("other", images[1])
            let isPinned = try await LifetimeStore().pin(
                TagName("pinned"),
                repository: stores.repository(),
                organization: stores.organization,
                on: stores.client
            )
            #expect(isPinned)
            try await limit(images[0].wholeBytes - 1, stores)
            let ended = try await AdmissionStore().pruneToLimit(stores.organization, on: stores.client)
            #expect(ended.isEmpty)
            #expect(try await stores.find("other")?.digest == images[1].digest)
        }
    }

    @Test("an oversized image isn't ended for room that it doesn't take")
    func oversized() async throws {
        try await TestDatabase.withStores { stores in
            let (oversized, old, young) = (ImageFixture.unique(layers: 3), ImageFixture.unique(), ImageFixture.unique())
            try await stores.tag("oversized", oversized)
            try await stores.client.query(
                """
                UPDATE repository_manifest rm SET is_oversized = true FROM manifest m
                WHERE m.id = rm.manifest_id AND m.digest = \(oversized.digest.description)
                """
            )
            try await stores.tag("old", old)
            try await stores.tag("young", young)
            try await limit(old.wholeBytes + young.wholeBytes - 1, stores)
            let ended = try await AdmissionStore().pruneToLimit(stores.organization, on: stores.client)
            #expect(ended.count == 1)
            #expect(try await stores.find("oversized")?.digest == oversized.digest)
            #expect(try await stores.find("old") == nil)
            #expect(try await stores.find("young")?.digest == young.digest)
        }
    }
}
