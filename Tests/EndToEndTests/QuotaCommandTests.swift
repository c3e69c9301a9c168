// SPDX-License-Identifier: Apache-2.0

import Foundation
import Postgres
import TestSupport
import Testing

/// Limits by the command line.
@Suite struct QuotaCommandTests {
    private struct View: Decodable {
        struct Threshold: Decodable, Hashable { let type: String, percent: Int }

        let organization: String, limit_bytes: Int64?
        let used_bytes: Int64, reserved_bytes: Int64, reclaimable_bytes: Int64, physical_bytes: Int64
        let thresholds: [Threshold]
    }

    private static func show(_ deployment: Deployment) async throws -> View {
        let text = try await deployment.entrepot(["quota", "show", "up", "--json"])
        return try JSONDecoder().decode(View.self, from: Data(text.utf8))
    }

    @Test("a quota is set, changed, shown with what is used, reserved, reclaimable and stored, and removed")
    func quota() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.single(seed: 1_400, size: 20_000)
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await Self.show(deployment).limit_bytes == nil)
                try await deployment.entrepot(
                    ["quota", "set", "up", "150MB", "--oversized", "reject", "--warning", "80", "--reject", "100"]
                )
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), image.bytes)
                let whole = image.blobs.reduce(Int64(image.bytes.count)) { $0 + $1.size }
                let arriving = try await Self.show(deployment)
                #expect(arriving.organization == "up" && arriving.limit_bytes == 150_000_000)
                #expect(
                    arriving.thresholds == [.init(type: "Reject", percent: 100), .init(type: "Warning", percent: 80)]
                )
                #expect(
                    arriving.used_bytes == Int64(image.bytes.count)
                        && arriving.reserved_bytes == whole - arriving.used_bytes
                )
                for blob in image.blobs {
                    #expect(try await deployment.registry.get("/v2/up/a/b/blobs/\(blob.digest)").status == 200)
                }
                let here = try await Self.show(deployment)
                #expect(here.used_bytes == whole && here.reserved_bytes == 0 && here.reclaimable_bytes == 0)
                #expect(here.physical_bytes == whole)
                try await deployment.entrepot(["tag", "remove", "up/a/b:t"])
                try await deployment.entrepot(["quota", "set", "up", "1GiB", "--warning", "50"])
                let ended = try await Self.show(deployment)
                #expect(ended.limit_bytes == 1 << 30 && ended.thresholds.contains(.init(type: "Warning", percent: 50)))
                #expect(ended.thresholds.count == 2)
                #expect(ended.used_bytes == 0 && ended.reclaimable_bytes == whole && ended.physical_bytes == whole)
                let policy = try await deployment.client.query("SELECT oversized::text FROM proxy_cache_config")
                    .decode(String.self)
                #expect(policy == ["reject"])
                let table = try await deployment.entrepot(["quota", "show", "up"])
                #expect(table.contains("RECLAIMABLE") && table.contains("Warning 50 %"))

                try await deployment.entrepot(["quota", "remove", "up"])
                #expect(try await Self.show(deployment).limit_bytes == nil)
                let again = try await deployment.startEntrepot(["quota", "remove", "up"])
                #expect(try await again.exitStatus() == 3)
                let wrong = try await deployment.startEntrepot(["quota", "set", "up", "much"])
                #expect(try await wrong.exitStatus() == 2)
            }
        }
    }
}
