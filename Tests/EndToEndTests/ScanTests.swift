// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// Cached images and the vulnerability scanner, whose part a double plays.
@Suite struct ScanTests {
    @Test(
        "an image of Debian is pulled through the cache and reported with its packages, each layer by a token of its own"
    )
    func debian() async throws {
        let debian = try await DebianLayer.make()
        let image = ImageFixture.image(layers: [debian.blob, try await .tar("above")])
        try await ScanScene.with { scene in
            scene.scanner.know(KnownVulnerability("CVE-2024-1", in: "libc6", severity: "High", fixedIn: "99"))
            scene.upstream.add(image, to: "a/b", tag: "t")
            #expect(try await scene.pull("t").status == 200)
            try await scene.isScanned(image)
            let answer = try await scene.security(image.digest)
            #expect(answer.status == 200 && answer.headers[.contentType] == "application/json")
            struct Reply: Decodable {
                struct Payload: Decodable { let Layer: LayerReply }
                struct LayerReply: Decodable { let Features: [Feature] }
                struct Feature: Decodable {
                    let Name: String
                    let Version: String
                    let AddedBy: String
                    let Vulnerabilities: [Vulnerability]
                }
                struct Vulnerability: Decodable { let Name: String, Severity: String, FixedBy: String }
                let status: String
                let data: Payload
            }
            let reply = try JSONDecoder().decode(Reply.self, from: Data(answer.body))
            #expect(reply.status == "scanned")
            let features = reply.data.Layer.Features
            #expect(features.count == debian.packages.count && features.count > 20)
            #expect(
                Set(features.map { "\($0.Name) \($0.Version)" })
                    == Set(debian.packages.map { "\($0.name) \($0.version)" })
            )
            #expect(features.allSatisfy { $0.AddedBy == debian.blob.digest.rawValue })
            let found = features.filter { !$0.Vulnerabilities.isEmpty }
            #expect(found.map(\.Name) == ["libc6"] && found.first?.Vulnerabilities.first?.FixedBy == "99")

            #expect(scene.scanner.complaints.isEmpty)
            #expect(scene.sent(image) == 1)
            // What one token opens no other does, and nobody without one.
            let body = try #require(scene.scanner.requests.first { $0.method == "POST" }?.body)
            struct Sent: Decodable {
                struct Layer: Decodable { let hash: String, uri: String, headers: [String: [String]] }
                let layers: [Layer]
            }
            let layers = try JSONDecoder().decode(Sent.self, from: Data(body)).layers
            #expect(layers.map(\.hash) == image.blobs.dropFirst().map(\.digest.rawValue))
            let token = try #require(layers[0].headers["Authorization"]?.first)
            let paths = layers.map { String($0.uri.dropFirst(scene.registry.base.count)) }
            let own = try await scene.registry.get(paths[0], [.authorization: token, .range: "bytes=0-1"])
            #expect(own.status == 200 && own.headers[.contentType] == "application/octet-stream")
            #expect(own.body == debian.blob.bytes(0..<debian.blob.size))
            #expect(try await scene.registry.get(paths[1], [.authorization: token]).status == 403)
            #expect(try await scene.registry.get(paths[0]).status == 403)
            #expect(try await scene.registry.send(.post, paths[0], [.authorization: token]).status == 405)
            let blob = "/v2/up/a/b/blobs/\(debian.blob.digest)"
            #expect(try await scene.registry.get(blob, [.authorization: token]).status == 401)
        }
    }

    @Test("the double is a program, too, that says what it is not")
    func program() async throws {
        let double = try await TestProcess(
            Executables.path("scan-double"),
            ["--port", "0", "--vulnerability", "CVE-2024-2=dpkg=Low=99"]
        )
        let url = try #require(try await double.line(containing: "listening address=").split(separator: "=").last)
        #expect(double.lines.first?.contains("not Clair") == true)
        let image = ImageFixture.image(layers: [try await DebianLayer.make().blob])
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], environment: ["ENTREPOT_FILL_DELAY": "50ms"]) {
                deployment in
                try await deployment.addDispatcher(scanner: String(url))
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), image.bytes)
                try await eventually("the report is told") {
                    let path = "/api/v1/repository/up/a/b/manifest/\(image.digest)/security"
                    return try await deployment.registry.get(path).text.contains("CVE-2024-2")
                }
                let shown = try await deployment.entrepot(["scan", "show", "up/a/b:t"])
                #expect(shown.contains("scanned") && shown.contains("CVE-2024-2") && shown.contains("dpkg"), "\(shown)")
                let status = try await deployment.entrepot(["scan", "status", "--json"])
                #expect(status.contains("\"scanned\" : 1") && status.contains("\"due\" : 0"), "\(status)")
            }
        }
        try await double.stop()
    }

    @Test("a scanner that is away is nobody's concern who pulls, and gets everything when it returns")
    func scannerDown() async throws {
        let images = [
            try await ScanScene.image("one"), try await ScanScene.image("two"), try await ScanScene.image("three"),
        ]
        try await ScanScene.with(dispatchers: 0) { scene in
            scene.scanner.fault("/api/v1/", .truncate(after: 0, reset: true))
            try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
            for (number, image) in images.enumerated() {
                scene.upstream.add(image, to: "a/b", tag: "t\(number)")
                expectServed(try await scene.pull("t\(number)"), image.bytes)
            }
            try await eventually("all are queued") {
                var states: [String?] = []
                for image in images { states.append(try await scene.state(of: image)) }
                return states.allSatisfy { $0 == "queued" }
            }
            #expect(scene.scanner.indexed.isEmpty)
            #expect(try await scene.security(images[0].digest).text == #"{"data":null,"status":"queued"}"#)
            let jobs = try await scene.deployment.client.query("SELECT 1 FROM job WHERE kind = 'image_scan'")
            #expect(jobs.isEmpty)
            scene.scanner.clearFaults()
            for image in images { try await scene.isScanned(image) }
            for image in images { #expect(scene.sent(image) == 1) }
        }
    }

    @Test("a layer that arrives late is scanned then")
    func lateLayer() async throws {
        let image = ImageFixture.image(layers: [try await .tar("early"), try await .tar("late")])
        try await ScanScene.with { scene in
            scene.upstream.add(image, to: "a/b", tag: "t")
            let gate = Gate()
            scene.upstream.fault("/blobs/\(image.blobs[2].digest)", .hold(gate), times: 1)
            #expect(try await scene.pull("t").status == 200)
            try await eventually("the rest is here") {
                let placed = try await scene.deployment.client.query("SELECT 1 FROM blob WHERE generation IS NOT NULL")
                return placed.count == 2 && gate.arrivals == 1
            }
            #expect(try await scene.state(of: image) == nil)
            #expect(try await scene.security(image.digest).text == #"{"data":null,"status":"queued"}"#)
            gate.open()
            try await scene.isScanned(image)
            #expect(scene.sent(image) == 1)
        }
    }

    @Test("an image whose blobs are all cached is scanned as its manifest arrives")
    func completeFromTheStart() async throws {
        let image = try await ScanScene.image("shared")
        let twin = ImageFixture.image(
            layers: Array(image.blobs.dropFirst()),
            config: image.blobs[0],
            extra: ",\"annotations\":{\"a\":\"b\"}"
        )
        try await ScanScene.with { scene in
            scene.upstream.add(image, to: "a/b", tag: "t")
            #expect(try await scene.pull("t").status == 200)
            try await scene.isScanned(image)
            scene.upstream.add(twin, to: "a/b", tag: "u")
            #expect(try await scene.pull("u").status == 200)
            try await scene.isScanned(twin)
        }
    }

    @Test("of an index each child is scanned; artifacts, images without layers and what isn't known are told apart")
    func kinds() async throws {
        let child = try await ScanScene.image("child")
        let index = ImageFixture.index([child])
        let artifact = ImageFixture.image(layers: [.text("sbom")], configType: "application/vnd.example.sbom")
        let empty = ImageFixture.image(layers: [], config: .text("{\"of\":\"nothing\"}"))
        try await ScanScene.with { scene in
            for (tag, image) in [("i", index), ("s", artifact), ("e", empty)] {
                scene.upstream.add(image, to: "a/b", tag: tag)
                #expect(try await scene.pull(tag).status == 200)
            }
            #expect(try await scene.pull(child.digest.description).status == 200)
            try await scene.isScanned(child)
            for image in [artifact, empty] {
                try await eventually("it is unsupported") { try await scene.state(of: image) == "unsupported" }
            }
            for image in [index, artifact, empty] {
                #expect(try await scene.security(image.digest).text == #"{"data":null,"status":"unsupported"}"#)
            }
            #expect(scene.scanner.indexed == [child.digest.rawValue])
            #expect(try await scene.security(OCI.Digest.of([])).status == 404)
            let path = "/api/v1/repository/up/a/b/manifest/latest/security"
            #expect(try await scene.registry.get(path).status == 404)
        }
    }

    @Test("429, 202 and 500 are retried, 400 is final, and what has failed too often waits for another scanner")
    func failures() async throws {
        var environment = ScanScene.keyed
        environment["ENTREPOT_SECURITY_SCANNER_MAX_SCAN_RETRIES"] = "1"
        let image = try await ScanScene.image("failing")
        let notTar = ImageFixture.image(layers: [.text("no tar")], config: .text("{\"is\":\"no image\"}"))
        try await ScanScene.with(environment: environment) { scene in
            func isDue(_ image: ImageFixture) async throws {
                try await scene.deployment.client.query(
                    """
                    UPDATE manifest_scan SET due_at = now() FROM manifest m
                    WHERE m.id = manifest_id AND m.digest = \(image.digest.rawValue) AND due_at IS NOT NULL
                    """
                )
            }
            func reason(_ text: String) async throws {
                try await eventually(text) {
                    try await !scene.deployment.client.query(
                        "SELECT 1 FROM manifest_scan WHERE reason LIKE \("%\(text)%") AND state = 'queued'"
                    ).isEmpty
                }
            }
            scene.scanner.limit(concurrency: 0)
            scene.upstream.add(image, to: "a/b", tag: "t")
            #expect(try await scene.pull("t").status == 200)
            try await reason("429")
            scene.scanner.limit(concurrency: 1)
            scene.scanner.setHasData(false)
            try await isDue(image)
            try await reason("still fetching")
            #expect(scene.sent(image) == 2)
            // It is indexed: only the report is wanting.
            scene.scanner.setHasData(true)
            scene.scanner.fault("/vulnerability_report/", .answer(500, [:], []), times: 1)
            try await isDue(image)
            try await eventually("it has failed") { try await scene.state(of: image) == "exhausted" }
            #expect(scene.sent(image) == 2)
            #expect(try await scene.security(image.digest).text == #"{"data":null,"status":"failed"}"#)
            scene.scanner.change(indexState: "0000000000000000000000000000cafe")
            try await scene.isScanned(image)
            #expect(scene.sent(image) == 3)

            scene.upstream.add(notTar, to: "a/b", tag: "n")
            #expect(try await scene.pull("n").status == 200)
            try await eventually("it is refused") { try await scene.state(of: notTar) == "refused" }
            #expect(try await scene.security(notTar.digest).text == #"{"data":null,"status":"unsupported"}"#)
        }
    }

    @Test("images larger than the scanner is to be sent, and reports that are too old")
    func limits() async throws {
        var environment = ScanScene.keyed
        environment["ENTREPOT_SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE"] = "20K"
        environment["ENTREPOT_SCAN_REPORT_AGE"] = "1s"
        let small = try await ScanScene.image("small")
        let large = ImageFixture.image(layers: [.fixture(BlobFixture(seed: 9_000, size: 30_000))])
        try await ScanScene.with(environment: environment) { scene in
            for (tag, image) in [("s", small), ("l", large)] {
                scene.upstream.add(image, to: "a/b", tag: tag)
                #expect(try await scene.pull(tag).status == 200)
            }
            try await eventually("it is too large") { try await scene.state(of: large) == "too_large" }
            let answer = try await scene.security(large.digest)
            #expect(answer.text == #"{"data":null,"status":"manifest_layer_too_large"}"#)
            try await eventually("the report is fetched again and again") {
                scene.scanner.count("/vulnerability_report/\(small.digest)") >= 3
            }
            #expect(scene.sent(small) == 1)
            // A scanner that has lost the image is sent it again.
            scene.scanner.forget(small.digest.rawValue)
            try await eventually("it is sent again") { scene.sent(small) == 2 }
            try await scene.isScanned(small)
        }
    }

    @Test("many dispatchers send each image once, and no more at once than they may")
    func many() async throws {
        var environment = ScanScene.keyed
        environment["ENTREPOT_SCAN_SLOTS"] = "2"
        var images: [ImageFixture] = []
        for number in 0..<12 { images.append(try await ScanScene.image("image \(number)")) }
        try await ScanScene.with(dispatchers: 2, environment: environment) { [images] scene in
            for (number, image) in images.enumerated() {
                scene.upstream.add(image, to: "a/b", tag: "t\(number)")
                #expect(try await scene.pull("t\(number)").status == 200)
            }
            for image in images { try await scene.isScanned(image) }
            for image in images { #expect(scene.sent(image) == 1) }
            #expect(scene.scanner.mostRunning <= 4)
        }
    }

    @Test("a manifest that is gone here is forgotten there")
    func deletion() async throws {
        let image = try await ScanScene.image("gone")
        try await ScanScene.with { scene in
            scene.upstream.add(image, to: "a/b", tag: "t")
            #expect(try await scene.pull("t").status == 200)
            try await scene.isScanned(image)
            let client = scene.deployment.client
            try await client.withTransaction { transaction in
                let ids = try await transaction.query("SELECT id FROM manifest WHERE digest = \(image.digest.rawValue)")
                    .decode(Int64.self).map(ManifestID.init(rawValue:))
                try await ScanStore().queueDeletion(of: ids, on: transaction)
                try await transaction.query("DELETE FROM repository_manifest")
                try await transaction.query("DELETE FROM manifest")
            }
            try await eventually("it is forgotten") { scene.scanner.indexed.isEmpty }
            try await eventually("nothing is left to do") {
                try await ScanReportStore().overview(on: client).openDeletions == 0
            }
            #expect(scene.scanner.count("DELETE /indexer/api/v1/index_report/\(image.digest)") == 1)
        }
    }
}
