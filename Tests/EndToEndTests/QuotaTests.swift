// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// Limits of organizations, as clients meet them.
@Suite struct QuotaTests {
    private static let layerBytes: Int64 = 500_000

    private static func image(_ seed: UInt64, bytes: Int64 = layerBytes) -> ImageFixture {
        .single(seed: seed, size: bytes)
    }

    /// Pulls as clients do: the manifest, then whatever it names.
    private func pull(
        _ tag: String,
        _ image: ImageFixture,
        in repository: String = "a/b",
        by client: TestClient
    ) async throws {
        let answer = try await client.get("/v2/up/\(repository)/manifests/\(tag)")
        expectServed(answer, image.bytes, "\(tag)")
        for blob in image.blobs {
            let (status, digest, _) = try await client.digest("/v2/up/\(repository)/blobs/\(blob.digest)")
            #expect(status == 200 && digest == blob.digest, "\(tag)")
        }
    }

    private func liveTags(_ deployment: Deployment) async throws -> [String] {
        try await deployment.client.query(
            "SELECT name FROM tag WHERE lifetime_end_at IS NULL ORDER BY name COLLATE \"C\""
        )
        .decode(String.self)
    }

    private func organization(_ deployment: Deployment) async throws -> OrganizationID {
        let found = try await OrganizationStore().find(OrganizationName("up"), on: deployment.client)
        return try #require(found).id
    }

    private func expectProof(_ deployment: Deployment) async throws {
        let id = try await organization(deployment)
        let drift = try await UsageStore().recompute(id, on: deployment.client)
        #expect(drift == nil)
    }

    @Test(
        "three images in turn where two have room: the first is pruned, or the second if the first was pulled once more",
        arguments: [false, true]
    )
    func leastRecentlyUsed(isPulledAgain: Bool) async throws {
        try await ScriptedUpstream.with { upstream in
            let images = (1...3).map { Self.image(UInt64($0)) }
            for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "v\(number + 1)") }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await deployment.limit("up", to: Self.layerBytes * 5 / 2)
                try await pull("v1", images[0], by: deployment.registry)
                try await pull("v2", images[1], by: deployment.registry)
                if isPulledAgain { try await pull("v1", images[0], by: deployment.registry) }
                try await deployment.stored()
                try await pull("v3", images[2], by: deployment.registry)
                #expect(try await liveTags(deployment) == (isPulledAgain ? ["v1", "v3"] : ["v2", "v3"]))
                let usage = try await UsageStore().usage(of: organization(deployment), on: deployment.client)
                #expect(usage.liveBytes <= Self.layerBytes * 5 / 2)
                #expect(usage.reclaimableBytes >= Self.layerBytes)
                try await expectProof(deployment)
                // What was pruned is fetched again like anything new.
                try await pull(isPulledAgain ? "v2" : "v1", images[isPulledAgain ? 1 : 0], by: deployment.registry)
            }
        }
    }

    @Test(
        "an image that is larger than the quota prunes nothing: it is kept, or streamed, or refused with the numbers",
        arguments: OversizedPolicy.allCases
    )
    func oversized(policy: OversizedPolicy) async throws {
        try await ScriptedUpstream.with { upstream in
            let (small, large) = (Self.image(1), Self.image(2, bytes: 2 * Self.layerBytes))
            upstream.add(small, to: "a/b", tag: "small")
            upstream.add(large, to: "a/b", tag: "large")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let limit = Self.layerBytes * 3 / 2
                try await deployment.limit("up", to: limit)
                try await deployment.configure("up", "oversized = '\(policy.rawValue)'")
                try await pull("small", small, by: deployment.registry)
                let usage = UsageStore()
                let id = try await organization(deployment)
                let before = try await usage.usage(of: id, on: deployment.client)
                switch policy {
                case .overflow:
                    try await pull("large", large, by: deployment.registry)
                    #expect(try await liveTags(deployment) == ["large", "small"])
                    #expect(try await usage.usage(of: id, on: deployment.client).liveBytes > limit)
                case .bypass:
                    try await pull("large", large, by: deployment.registry)
                    #expect(try await liveTags(deployment) == ["small"])
                    #expect(try await usage.usage(of: id, on: deployment.client).liveBytes == before.liveBytes)
                    try await deployment.addCollector()
                    try await eventually("it is collected") { try deployment.published().count == 2 }
                case .reject:
                    let answer = try await deployment.registry.get("/v2/up/a/b/manifests/large")
                    #expect(answer.status == 403 && answer.errorCode == "DENIED")
                    let size = large.blobs.reduce(Int64(large.bytes.count)) { $0 + $1.size }
                    #expect(answer.text.contains("quota of organization up"))
                    #expect(answer.text.contains("\(limit) bytes") && answer.text.contains("\(size) bytes"))
                    #expect(try await liveTags(deployment) == ["small"])
                }
                try await pull("small", small, by: deployment.registry)
                try await expectProof(deployment)
            }
        }
    }

    @Test("a pinned tag isn't pruned although it is the least recently used")
    func pinned() async throws {
        try await ScriptedUpstream.with { upstream in
            let images = (1...3).map { Self.image(UInt64($0)) }
            for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "v\(number + 1)") }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await deployment.limit("up", to: Self.layerBytes * 5 / 2)
                try await pull("v1", images[0], by: deployment.registry)
                let isPinned = try await LifetimeStore().pin(
                    TagName("v1"),
                    repository: RepositoryName("a/b"),
                    organization: organization(deployment),
                    on: deployment.client
                )
                #expect(isPinned)
                try await pull("v2", images[1], by: deployment.registry)
                try await deployment.stored()
                try await pull("v3", images[2], by: deployment.registry)
                #expect(try await liveTags(deployment) == ["v1", "v3"])
            }
        }
    }

    @Test("a limit that is lowered is kept by the pruner, and an expired tag ends")
    func pruner() async throws {
        try await ScriptedUpstream.with { upstream in
            let images = (1...3).map { Self.image(UInt64($0)) }
            for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "v\(number + 1)") }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for (number, image) in images.enumerated() {
                    try await pull("v\(number + 1)", image, by: deployment.registry)
                }
                // What is arriving is spared.
                try await deployment.stored()
                try await deployment.addPruner()
                try await deployment.addPruner()
                try await deployment.limit("up", to: Self.layerBytes * 5 / 2)
                try await eventually("the oldest is pruned") { try await liveTags(deployment) == ["v2", "v3"] }
                // A pull that is being written down would renew it.
                try await eventually("the pulls are written down") {
                    try await deployment.client.query(
                        "SELECT 1 FROM tag WHERE last_pulled_at IS NULL AND lifetime_end_at IS NULL"
                    ).isEmpty
                }
                try await deployment.client.query("UPDATE tag SET expires_at = now() WHERE name = 'v2'")
                try await eventually("v2 expires") { try await liveTags(deployment) == ["v3"] }
                let reasons = try await deployment.client.query(
                    "SELECT end_reason FROM tag WHERE lifetime_end_at IS NOT NULL ORDER BY name COLLATE \"C\""
                ).decode(String.self)
                #expect(reasons == ["pruned", "expired"])
                try await expectProof(deployment)
            }
        }
    }

    /// The slack: what was stored while others that were arriving held the room, after its patience had run out. Without
    /// such images usage is never over the limit, not for a moment.
    @Test(
        "20 pulls at once at the limit, over two frontends, two fetchers and two pruners, stay within it and the slack",
        arguments: ["300s", "0s"]
    )
    func crowd(patience: String) async throws {
        try await ScriptedUpstream.with { upstream in
            let images = (0..<20).map { Self.image(100 + UInt64($0), bytes: 200_000) }
            for (number, image) in images.enumerated() {
                upstream.add(image, to: "a/r\(number % 4)", tag: "v\(number)")
            }
            try await Deployment.with(
                ["up=\(upstream.url)"],
                frontends: 2,
                fetchers: 2,
                environment: ["ENTREPOT_QUOTA_PATIENCE": patience, "ENTREPOT_MANIFEST_TIMEOUT": "300s"]
            ) { deployment in
                let limit: Int64 = 1_100_000
                try await deployment.limit("up", to: limit)
                try await deployment.watchPeak()
                for _ in 0..<2 { try await deployment.addPruner() }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (number, image) in images.enumerated() {
                        group.addTask {
                            try await pull(
                                "v\(number)",
                                image,
                                in: "a/r\(number % 4)",
                                by: deployment.clients[number % 2]
                            )
                        }
                    }
                    try await group.waitForAll()
                }
                let id = try await organization(deployment)
                try await eventually("usage is within the limit") {
                    try await UsageStore().usage(of: id, on: deployment.client).liveBytes <= limit
                }
                try await deployment.heard()  // and so what was logged before
                let over = deployment.fetchers.flatMap(\.lines).count { $0.contains(" over=true") }
                if patience != "0s" { #expect(over == 0) }
                let imageBytes = images.map { $0.blobs.reduce(Int64($0.bytes.count)) { $0 + $1.size } }.max() ?? 0
                let peak = try await deployment.peak()
                #expect(peak > 0 && peak <= limit + Int64(over) * imageBytes, "\(peak), \(over) over the limit")
                // No more was pruned than was needed: one image more would have had no room.
                let usage = try await UsageStore().usage(of: id, on: deployment.client)
                #expect(usage.liveBytes + 202_000 > limit)
                try await expectProof(deployment)
                for process in deployment.fetchers + deployment.keepers {
                    #expect(!process.lines.contains { $0.contains("deadlock") })
                }
            }
        }
    }
}

extension Deployment {
    /// From here on, the most that an organization uses is written down by whoever changes it.
    fileprivate func watchPeak() async throws {
        try await client.query("CREATE TABLE usage_peak (bytes bigint)")
        try await client.query(
            """
            CREATE FUNCTION note_peak() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO usage_peak VALUES (NEW.used_bytes + NEW.reserved_bytes);
                RETURN NULL;
            END
            $$
            """
        )
        try await client.query(
            """
            CREATE TRIGGER note_peak AFTER UPDATE ON organization_usage FOR EACH ROW EXECUTE FUNCTION note_peak()
            """
        )
    }

    fileprivate func peak() async throws -> Int64 {
        try await client.query("SELECT coalesce(max(bytes), -1) FROM usage_peak").decodeFirst(Int64.self) ?? -1
    }
}
