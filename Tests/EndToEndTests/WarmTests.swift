// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import OCI
import TestSupport
import Testing

/// `entrepot warm`, and the states of images that `entrepot status` tells.
@Suite struct WarmTests {
    private struct Report: Decodable {
        struct Image: Decodable {
            let image: String, complete: Bool, digest: String?, failures: [String], fetched_blobs: Int, blobs: Int
        }
        let images: [Image]
    }

    private static let children = (0..<3).map { ImageFixture.single(seed: 900 + UInt64($0), size: 200_000) }
    private static let index = ImageFixture.index(children)

    private static func warm(
        _ words: [String],
        _ deployment: Deployment
    ) async throws -> (status: Int32, lines: [String]) {
        let words = ["warm"] + words + ["--postgres", deployment.database]
        let process = try await TestProcess(Executables.path("entrepot"), words)
        return (try await process.exitStatus(), process.lines)
    }

    private static func state(_ image: String, _ deployment: Deployment) async throws -> [String] {
        let process = try await deployment.startEntrepot(["status", image])
        _ = try await process.exitStatus()
        let lines = process.lines
        try #require(lines.count >= 2, "\(lines)")
        return lines
    }

    @Test("an image for the platforms asked for is here afterwards, and a second time costs one tag check")
    func platforms() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.index, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2) { deployment in
                #expect(try await Self.state("up/a/b:t", deployment)[1].contains("not cached"))
                let (status, lines) = try await Self.warm(["up/a/b:t", "--platform", "linux/arm64"], deployment)
                #expect(status == 0, "\(lines)")
                #expect(lines.last?.contains("complete, 2 of 2 blobs fetched") == true, "\(lines)")
                let ends = lines.dropLast().filter { $0.contains(" fetched, ") }
                #expect(ends.count == 4, "index, child, config, layer: \(lines)")
                #expect(try await Self.state("up/a/b:t", deployment)[1].contains("complete (1 of 3 images)"))

                upstream.forgetRequests()
                let again = try await Self.warm(["up/a/b:t", "--platform", "linux/arm64", "--json"], deployment)
                let report = try JSONDecoder().decode(Report.self, from: Data(again.lines.joined().utf8))
                #expect(report.images.map(\.fetched_blobs) == [0] && report.images.map(\.blobs) == [2])
                #expect(report.images.map(\.digest) == [Self.index.digest.description])
                #expect(upstream.requests.count == 1, "\(upstream.requests)")

                upstream.fault("/v2/", .answer(500, [:], []))
                for blob in Self.children[1].blobs {
                    let got = try await deployment.clients[1].get("/v2/up/a/b/blobs/\(blob.digest)")
                    expectServed(got, blob.bytes(0..<blob.size))
                }
            }
        }
    }

    @Test("what can't be had is named, holds up nothing else, and makes the exit status 1")
    func failing() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.children[0], to: "a/b", tag: "good")
            upstream.add(Self.children[1], to: "a/b", tag: "broken")
            let broken = Self.children[1].blobs[1].digest
            upstream.fault("/blobs/\(broken)", .answer(404, [:], []))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let images = ["up/a/b:broken", "up/a/b:absent", "nobody/a:1", "up/a/b:good"]
                let (status, lines) = try await Self.warm(images + ["--json"], deployment)
                #expect(status == 1)
                let report = try JSONDecoder().decode(Report.self, from: Data(lines.joined().utf8))
                #expect(report.images.map(\.image) == images)
                #expect(report.images.map(\.complete) == [false, false, false, true])
                #expect(report.images[0].failures.contains { $0.contains("doesn't have blob \(broken)") })
                #expect(report.images[1].failures.contains { $0.contains("doesn't have manifest absent") })
                #expect(report.images[2].failures == ["there is no organization nobody"])
                #expect(try await Self.state("up/a/b:broken", deployment)[1].contains("fetching 1/2"))
                for words in [["hub"], ["up/a/b:good", "--platform", "x"]] {
                    #expect(try await Self.warm(words, deployment).status == 2)
                }
            }
        }
    }

    @Test("on a terminal there is a bar for what is on its way, and the lines stay")
    func terminal() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.children[0], to: "a/b", tag: "t")
            let gate = Gate()
            upstream.fault("/blobs/\(Self.children[0].blobs[1].digest)", .stall(after: 100_000, gate))
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let entrepot = try Executables.path("entrepot")
                let command = "'\(entrepot)' warm up/a/b:t --postgres \"\(deployment.database)\""
                let script = try await TestProcess("/usr/bin/script", ["-qefc", command, "/dev/null"])
                try await script.line(containing: "[############............]")
                gate.open()
                #expect(try await script.exitStatus() == 0)
                #expect(script.lines.contains { $0.contains("\u{1B}[1A\r\u{1B}[J") }, "\(script.lines)")
                #expect(script.lines.last?.contains("complete, 2 of 2 blobs fetched") == true, "\(script.lines)")
            }
        }
    }
}
