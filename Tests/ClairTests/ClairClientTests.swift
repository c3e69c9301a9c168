// SPDX-License-Identifier: Apache-2.0

import Clair
import Foundation
import HTTPTransport
import HTTPTypes
import Logging
import Models
import OCI
import TestSupport
import Testing

/// The statuses of Clair's API, row by row, as its code has them, and what they mean to us.
@Suite("Calls of the scanner", .timeLimit(.minutes(2)))
struct ClairClientTests {
    private static let secret = Data("a secret of thirty-two bytes....".utf8)
    private static let digest = "sha256:" + String(repeating: "a", count: 64)

    private struct Scene {
        let double: ScanDouble
        let clair: ClairClient
        let raw: TestClient

        /// Serves one layer, which is a tar without packages.
        func manifest(_ digest: String = ClairClientTests.digest, at uri: String) -> ClairManifest {
            ClairManifest(
                hash: digest,
                layers: [ClairManifest.Layer(hash: LayerServer.digest.rawValue, uri: uri, headers: ["X-Token": ["t"]])]
            )
        }
    }

    private static func with(key: Data? = nil, _ body: (Scene, LayerServer) async throws -> Void) async throws {
        let transport = HTTPTransport(
            HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        defer { transport.shutdown() }
        try await ScanDouble.with { double in
            var configuration = ClairClient.Configuration(endpoint: double.url)
            configuration.pageSize = 2
            let shared = try key.map { try SharedKey(base64: $0.base64EncodedString(), issuer: "quay") }
            let scene = Scene(
                double: double,
                clair: ClairClient(configuration, transport: transport, key: shared),
                raw: TestClient(double.url)
            )
            try await LayerServer.with { layers in try await body(scene, layers) }
        }
    }

    private func failure(_ body: () async throws -> Void) async throws -> ScanFailure? {
        do {
            try await body()
            return nil
        } catch let failure as ScanFailure {
            return failure
        }
    }

    @Test("POST index_report: 201 with the state; what is sent conforms to the schema")
    func index() async throws {
        try await Self.with { scene, layers in
            let progress = try await scene.clair.index(scene.manifest(at: layers.url))
            #expect(progress.isFinished && progress.error.isEmpty)
            #expect(try await scene.clair.indexState() == progress.indexState)
            #expect(scene.double.complaints.isEmpty)
            #expect(layers.headers[HTTPField.Name("X-Token")!] == "t")
            // Which the double would have noticed.
            let bad = #"{"hash":"sha256:12","layers":[{"hash":"\#(Self.digest)","urls":[]}]}"#
            let answer = try await scene.raw.send(.post, "/indexer/api/v1/index_report", body: Array(bad.utf8))
            #expect(answer.status == 400 && scene.double.complaints.count >= 3)
        }
    }

    @Test("POST index_report: 412, 400, 429, 500 with IndexError")
    func indexFailures() async throws {
        try await Self.with { scene, layers in
            let state = try await scene.clair.indexState()
            let body = Array(#"{"hash":"\#(Self.digest)","layers":[]}"#.utf8)
            let path = "/indexer/api/v1/index_report"
            let current = try await scene.raw.send(.post, path, [.ifNoneMatch: "\"\(state)\""], body: body)
            #expect(current.status == 412)
            // Neither a layer nor a hash, and no JSON.
            for text in [String(decoding: body, as: UTF8.self), "{}", "nonsense"] {
                #expect(try await scene.raw.send(.post, path, body: Array(text.utf8)).status == 400)
            }
            let empty = ClairManifest(hash: Self.digest, layers: [])
            #expect(
                try await failure { _ = try await scene.clair.index(empty) }
                    == .refused("the scanner answered 400: bogus manifest")
            )

            scene.double.limit(concurrency: 0)
            guard case .later? = try await failure({ _ = try await scene.clair.index(scene.manifest(at: layers.url)) })
            else { return #expect(Bool(false), "429") }
            scene.double.limit(concurrency: 1)

            let absent = scene.manifest(at: layers.url + "/absent")
            guard case .failed(let reason)? = try await failure({ _ = try await scene.clair.index(absent) }) else {
                return #expect(Bool(false), "500")
            }
            #expect(reason.contains("500") && reason.contains("failed to fetch"))
            let left = try #require(try await scene.clair.indexProgress(of: Self.digest))
            #expect(left.state == "IndexError" && !left.isFinished && !left.error.isEmpty)
        }
    }

    @Test(
        "a layer that isn't answered by 200 and its bytes fails the call",
        arguments: [
            LayerServer.Manner.partial, .otherType, .otherBytes,
        ]
    )
    func layerManners(_ manner: LayerServer.Manner) async throws {
        try await Self.with { scene, layers in
            layers.manner = manner
            guard case .failed? = try await failure({ _ = try await scene.clair.index(scene.manifest(at: layers.url)) })
            else { return #expect(Bool(false), "\(manner)") }
        }
    }

    @Test(
        "GET index_report: 200, 304 before it is looked for, 404, 400, 415; DELETE: 204 whatever it is, and many at once"
    )
    func indexReports() async throws {
        try await Self.with { scene, layers in
            let path = "/indexer/api/v1/index_report/"
            #expect(try await scene.clair.indexProgress(of: Self.digest) == nil)
            let state = try await scene.clair.indexState()
            let unchanged = try await scene.raw.get(path + Self.digest, [.ifNoneMatch: "\"\(state)\""])
            #expect(unchanged.status == 304)
            #expect(try await scene.raw.get(path + "nonsense").status == 400)
            #expect(try await scene.raw.get(path + Self.digest, [.accept: "text/plain"]).status == 415)
            _ = try await scene.clair.index(scene.manifest(at: layers.url))
            #expect(try await scene.clair.indexProgress(of: Self.digest)?.isFinished == true)
            try await scene.clair.forget(Self.digest)
            try await scene.clair.forget(Self.digest)
            #expect(try await scene.clair.indexProgress(of: Self.digest) == nil)
            _ = try await scene.clair.index(scene.manifest(at: layers.url))
            let all = try await scene.raw.send(
                .delete,
                "/indexer/api/v1/index_report",
                body: Array(#"["\#(Self.digest)","sha256:other"]"#.utf8)
            )
            #expect(all.status == 200 && all.text == #"["\#(Self.digest)"]"#)
        }
    }

    @Test("GET index_state: 200 with an entity tag, 304")
    func indexState() async throws {
        try await Self.with { scene, _ in
            let path = "/indexer/api/v1/index_state"
            let answer = try await scene.raw.get(path)
            let tag = try #require(answer.headers[.eTag])
            let state = try await scene.clair.indexState()
            #expect(answer.status == 200 && tag == "\"\(state)\"")
            #expect(try await scene.raw.get(path, [.ifNoneMatch: tag]).status == 304)
            // Clair takes neither lists nor weak tags.
            #expect(try await scene.raw.get(path, [.ifNoneMatch: "W/" + tag]).status == 200)
        }
    }

    @Test(
        "GET vulnerability_report: 202 while there is no data, 404 for what isn't indexed well, 200 with a wrong type"
    )
    func vulnerabilityReport() async throws {
        try await Self.with { scene, layers in
            func report() async throws { _ = try await scene.clair.vulnerabilityReport(of: Self.digest) }
            #expect(try await failure(report) == .unknownImage)
            _ = try? await scene.clair.index(scene.manifest(at: layers.url + "/absent"))  // leaves an IndexError
            #expect(try await failure(report) == .unknownImage)
            _ = try await scene.clair.index(scene.manifest(at: layers.url))
            scene.double.setHasData(false)
            guard case .later? = try await failure(report) else { return #expect(Bool(false), "202") }
            scene.double.setHasData(true)
            let (text, found) = try await scene.clair.vulnerabilityReport(of: Self.digest)
            #expect(found.manifest == Self.digest && text.contains(Self.digest))
            let raw = try await scene.raw.get("/matcher/api/v1/vulnerability_report/" + Self.digest)
            #expect(raw.headers[.contentType] == "application/vnd.clair.index_report.v1+json")
        }
    }

    @Test("captured reports come through", arguments: Fixture.pairs.map(\.0))
    func captured(_ name: String) async throws {
        try await Self.with { scene, layers in
            let text = String(decoding: try Fixture.data(name), as: UTF8.self)
            let digest = try Fixture.report(name).manifest
            scene.double.report(text, of: digest)
            _ = try await scene.clair.index(scene.manifest(digest, at: layers.url))
            let found = try await scene.clair.vulnerabilityReport(of: digest)
            #expect(found.text == text && found.report.manifest == digest)
        }
    }

    @Test("GET notification: pages, with the size on each; 400, 415 are failures; DELETE: 200")
    func notifications() async throws {
        try await Self.with { scene, _ in
            let id = UUID()
            let known = KnownVulnerability("CVE-1", in: "p", severity: "High", fixedIn: "2")
            scene.double.notification(id, (0..<5).map { ("sha256:\($0)", known, "added") })
            var next: String?
            var seen: [String] = []
            repeat {
                let page = try #require(try await scene.clair.notification(id, page: next))
                seen += page.items.map(\.manifest)
                next = page.next
            } while next != nil
            #expect(seen == (0..<5).map { "sha256:\($0)" })
            #expect(scene.double.count("page_size=2") == 3)
            #expect(try await scene.raw.get("/notifier/api/v1/notification/no-uuid").status == 400)
            scene.double.fault("/notification/", .answer(415, [:], []), times: 1)
            guard case .failed? = try await failure({ _ = try await scene.clair.notification(id, page: nil) }) else {
                return #expect(Bool(false), "415")
            }
            scene.double.fault("/notification/", .answer(404, [:], []), times: 1)
            #expect(try await scene.clair.notification(id, page: nil) == nil)
            try await scene.clair.finish(notification: id)
            #expect(scene.double.count("DELETE /notifier/") == 1)
        }
    }

    @Test("with a key: signed calls are let in, others get 401 without a body, and robots.txt is for everybody")
    func authentication() async throws {
        try await Self.with(key: Self.secret) { scene, _ in
            scene.double.requireKey(Self.secret)
            _ = try await scene.clair.indexState()
            let stranger = try await scene.raw.get("/indexer/api/v1/index_state")
            #expect(stranger.status == 401 && stranger.body.isEmpty)
            #expect(try await scene.raw.get("/robots.txt").status == 200)
            scene.double.requireKey(Data("another secret".utf8))
            // Nothing that an image could help.
            guard case .unreachable? = try await failure({ _ = try await scene.clair.indexState() }) else {
                return #expect(Bool(false), "401")
            }
        }
    }

    @Test(
        "a scanner that isn't there, or whose answer breaks off, can't be reached; one that fails otherwise has failed"
    )
    func transportFailures() async throws {
        try await Self.with { scene, layers in
            _ = try await scene.clair.index(scene.manifest(at: layers.url))
            func report() async throws { _ = try await scene.clair.vulnerabilityReport(of: Self.digest) }
            for status in [502, 503, 504] {
                scene.double.fault("/vulnerability_report/", .answer(status, [:], Array("<html>".utf8)), times: 1)
                guard case .unreachable? = try await failure(report) else { return #expect(Bool(false), "\(status)") }
            }
            // After a good status Clair can only break off, and tell why in a trailer.
            scene.double.fault("/vulnerability_report/", .truncate(after: 20, reset: false), times: 1)
            guard case .unreachable? = try await failure(report) else { return #expect(Bool(false), "broken off") }
            for body in ["", "{\"manifest_hash\":", "[]"] {
                scene.double.fault("/vulnerability_report/", .answer(200, [:], Array(body.utf8)), times: 1)
                guard case .failed? = try await failure(report) else { return #expect(Bool(false), "\(body)") }
            }
            scene.double.fault(
                "/vulnerability_report/",
                .answer(500, [:], Array("{\"code\":\"internal-error\",\"message\":\"why\"}".utf8)),
                times: 1
            )
            #expect(try await failure(report) == .failed("the scanner answered 500: why"))
        }
    }
}
