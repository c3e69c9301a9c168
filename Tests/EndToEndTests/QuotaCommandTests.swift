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
                try await deployment.stored()
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

    @Test("a wrong option is named before anything changes, and a threshold stays until its successor is there")
    func refusals() async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            let whole: Set<View.Threshold> = [.init(type: "Reject", percent: 100), .init(type: "Warning", percent: 80)]
            func set(_ words: [String]) async throws -> (status: Int32, text: String) {
                let process = try await deployment.startEntrepot(["quota", "set", "up"] + words)
                return (try await process.exitStatus(), process.lines.joined(separator: "\n"))
            }
            #expect(try await set(["150MB", "--warning", "80", "--reject", "100"]).status == 0)
            for (option, value) in [("--reject", "101"), ("--warning", "0"), ("--oversized", "explode")] {
                let wrong = try await set(["1GB", option, value])
                #expect(wrong.status == 2 && wrong.text.contains("\(option): expected"), "\(wrong)")
                let view = try await Self.show(deployment)
                #expect(view.limit_bytes == 150_000_000 && Set(view.thresholds) == whole, "\(option)")
            }
            try await deployment.client.query("ALTER TABLE quota_threshold ADD CHECK (percent <> 90) NOT VALID")
            #expect(try await set(["150MB", "--warning", "90"]).status == 1)
            #expect(try await Set(Self.show(deployment).thresholds) == whole)
            #expect(try await set(["150MB", "--warning", "80"]).status == 0)
            #expect(try await Set(Self.show(deployment).thresholds) == whole)
        }
    }
}
