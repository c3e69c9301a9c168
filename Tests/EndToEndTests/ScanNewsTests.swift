// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Metadata
import Models
import OCI
import Postgres
import Synchronization
import TestSupport
import Testing

/// What the scanner tells of by itself, and what organizations make of what it says.
@Suite struct ScanNewsTests {
    private static let secret = Data("a secret of thirty-two bytes....".utf8)
    private static let keyed = [
        "ENTREPOT_FILL_DELAY": "50ms",
        "ENTREPOT_SECURITY_SCANNER_V4_PSK": secret.base64EncodedString(),
    ]
    private static let high = KnownVulnerability("CVE-2024-7", in: "dpkg", severity: "High", fixedIn: "99")

    private struct Scene {
        let upstream: ScriptedUpstream
        let deployment: Deployment
        let scanner: ScanDouble
        let image: ImageFixture

        var client: PostgresClient { deployment.client }

        func pull(_ reference: String = "t") async throws -> TestClient.Answer {
            try await deployment.registry.get("/v2/up/a/b/manifests/\(reference)")
        }

        func isScanned() async throws {
            try await eventually("it is scanned") {
                try await !client.query("SELECT 1 FROM manifest_scan WHERE state = 'scanned'").isEmpty
            }
        }

        func found() async throws -> [LogRecord] {
            var filter = LogStore.Filter()
            filter.kinds = [.vulnerabilityFound]
            return try await LogStore().read(filter, on: client)
        }

        func killDispatcher() async throws {
            let victim = try #require(deployment.dispatchers.last)
            try await victim.stop(SIGKILL)
        }

        func setPolicy(_ policy: ScanPolicy) async throws {
            let store = OrganizationStore()
            let organization = try #require(try await store.find(OrganizationName("up"), on: client))
            var settings = OrganizationSettings()
            settings.blockSeverity = .some(policy.blockSeverity)
            settings.unscanned = policy.unscanned
            #expect(try await store.change(settings, of: organization.id, on: client))
            try await client.query("SELECT pg_notify('entrepot_organization', 'up')")
            try await deployment.heard()
        }
    }

    /// The image has the packages of this machine.
    private static func with(
        dispatcher: [String: String]? = [:],
        environment: [String: String] = keyed,
        _ body: (Scene) async throws -> Void
    ) async throws {
        let image = ImageFixture.image(layers: [try await DebianLayer.make().blob])
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            try await ScanDouble.with { scanner in
                scanner.requireKey(secret)
                try await Deployment.with(["up=\(upstream.url)"], environment: environment) { deployment in
                    if let dispatcher { try await deployment.addDispatcher(scanner: scanner.url, dispatcher) }
                    try await body(
                        Scene(upstream: upstream, deployment: deployment, scanner: scanner, image: image)
                    )
                }
            }
        }
    }

    @Test("news are taken from the scanner alone, once, and bring fresh reports, rows of the log and posts")
    func news() async throws {
        let posts = Mutex<[String]>([])
        try await PostReceiver.with({ post in posts.withLock { $0.append(post) } }) { webhook in
            try await Self.with(dispatcher: ["ENTREPOT_VULNERABILITY_WEBHOOK_URL": webhook + "/hook"]) { scene in
                #expect(try await scene.pull().status == 200)
                try await scene.isScanned()
                let before = scene.scanner.count("/vulnerability_report/")
                scene.scanner.know(Self.high)
                let id = UUID()
                let digest = scene.image.digest.rawValue
                let mild = KnownVulnerability("CVE-2024-8", in: "dpkg", severity: "Low")
                scene.scanner.notification(
                    id,
                    [
                        (digest, Self.high, "added"), ("sha256:nowhere", Self.high, "added"), (digest, mild, "added"),
                        (digest, mild, "removed"),
                    ]
                )
                let stranger = try await scene.scanner.post(
                    id,
                    to: scene.deployment.registry,
                    key: Data("somebody else's key of 32 bytes.".utf8)
                )
                #expect(stranger.status == 403)
                let unsigned = try await scene.deployment.registry.send(
                    .post,
                    "/secscan/notification",
                    body: Array("{\"notification_id\":\"\(id)\"}".utf8)
                )
                #expect(unsigned.status == 403)
                for _ in 0..<3 {
                    #expect(try await scene.scanner.post(id, to: scene.deployment.registry).status == 200)
                }
                try await eventually("it was read to its end") {
                    scene.scanner.count("DELETE /notifier/api/v1/notification/") == 1
                }
                try await eventually("the report is fresh") {
                    scene.scanner.count("/vulnerability_report/") == before + 1
                }
                #expect(try await scene.scanner.post(id, to: scene.deployment.registry).status == 200)
                let rows = try await scene.found()
                #expect(rows.count == 2)
                let row = try #require(rows.first { $0.metadata?["vulnerability"] == "CVE-2024-7" })
                #expect(row.organization == "up" && row.repository == "a/b")
                #expect(row.metadata?["severity"] == "High" && row.metadata?["has_fix"] == "true")
                #expect(row.metadata?["digest"] == digest && row.metadata?["tags"] == "t")
                try await eventually("it is posted") { posts.withLock(\.count) == 1 }
                struct Post: Decodable {
                    struct Vulnerability: Decodable { let id: String, priority: String, has_fix: Bool }
                    let event: String, repository: String, tags: [String], vulnerability: Vulnerability
                }
                let post = try JSONDecoder().decode(Post.self, from: Data(posts.withLock { $0[0] }.utf8))
                #expect(post.event == "vulnerability_found" && post.repository == "up/a/b" && post.tags == ["t"])
                #expect(post.vulnerability.id == "CVE-2024-7" && post.vulnerability.has_fix)
                #expect(scene.scanner.count("GET /notifier/") == 1)
                let path = "/api/v1/repository/up/a/b/manifest/\(digest)/security"
                try await eventually("the report has it") {
                    try await scene.deployment.registry.get(path).text.contains("CVE-2024-7")
                }
            }
        }
    }

    @Test("a dispatcher that is killed between two pages: another one goes on there, and no page is told twice")
    func resumed() async throws {
        try await Self.with { scene in
            #expect(try await scene.pull().status == 200)
            try await scene.isScanned()
            let id = UUID()
            let items = (0..<1_200).map { number in
                (
                    manifest: scene.image.digest.rawValue,
                    vulnerability: KnownVulnerability("CVE-2024-\(number)", in: "dpkg", severity: "Low"),
                    reason: "added"
                )
            }
            scene.scanner.notification(id, items)
            let gate = Gate()
            scene.scanner.fault("next=500", .hold(gate), times: 1)
            #expect(try await scene.scanner.post(id, to: scene.deployment.registry).status == 200)
            try await eventually("the scanner holds the second page") { gate.arrivals == 1 }
            try await scene.killDispatcher()
            gate.open()
            try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
            try await eventually("it was read to its end") { scene.scanner.count("DELETE /notifier/") == 1 }
            let count = try await scene.client.query(
                "SELECT count(*), count(DISTINCT metadata ->> 'vulnerability') FROM log_entry WHERE kind = 'vulnerability_found'"
            ).decodeFirst((Int, Int).self)
            #expect(count?.0 == 1_200 && count?.1 == 1_200)
            let pages = scene.scanner.requests.filter { $0.path.contains("/notification/") && $0.method == "GET" }
            #expect(pages.count == 4)
            #expect(pages.filter { !$0.path.contains("next=") }.count == 1)
        }
    }

    @Test("with a line drawn, an image with a finding that can be fixed is refused by the finding's name, and no other")
    func blocked() async throws {
        try await Self.with { scene in
            scene.scanner.know(Self.high)
            scene.scanner.know(KnownVulnerability("CVE-2024-9", in: "dpkg", severity: "Critical"))
            #expect(try await scene.pull().status == 200)
            try await scene.isScanned()
            #expect(try await scene.pull().status == 200)
            try await scene.setPolicy(ScanPolicy(blockSeverity: .high))
            for reference in ["t", scene.image.digest.description] {
                let refused = try await scene.pull(reference)
                #expect(refused.status == 403 && refused.errorCode == "DENIED")
                #expect(refused.text.contains("CVE-2024-7") && refused.text.contains("dpkg"))
                #expect(refused.text.contains("99"))
            }
            #expect(try await scene.deployment.registry.head("/v2/up/a/b/manifests/t").status == 403)
            // The critical one can't be fixed.
            try await scene.setPolicy(ScanPolicy(blockSeverity: .critical))
            #expect(try await scene.pull().status == 200)
            try await scene.setPolicy(.off)
            #expect(try await scene.pull().status == 200)
        }
    }

    @Test("without a rule a warm pull asks nothing about scans")
    func off() async throws {
        try await Self.with { scene in
            #expect(try await scene.pull().status == 200)
            try await scene.isScanned()
            let digest = scene.image.digest.description
            #expect(try await scene.pull(digest).status == 200)
            try await scene.client.withTransaction { transaction in
                // Whoever asks stands in line until this transaction ends.
                try await transaction.query("LOCK TABLE manifest_scan, scan_report IN ACCESS EXCLUSIVE MODE")
                #expect(try await scene.pull(digest).status == 200)
            }
        }
    }

    @Test("admins draw the line by the API, in words that are checked")
    func policyByAPI() async throws {
        try await Self.with { scene in
            scene.scanner.know(Self.high)
            #expect(try await scene.pull().status == 200)
            try await scene.isScanned()
            try await scene.deployment.entrepot(["user", "add", "root", "--superuser"], password: "a long password")
            let headers: HTTPFields = [
                .authorization: "Basic " + Data("root:a long password".utf8).base64EncodedString()
            ]
            func put(_ body: String) async throws -> Int {
                let path = "/api/v1/organization/up"
                return try await scene.deployment.registry.send(.put, path, headers, body: Array(body.utf8)).status
            }
            for bad in [#"{"block_severity":"Bad"}"#, #"{"unscanned":"maybe"}"#] {
                let status = try await put(bad)
                #expect(status == 400)
            }
            let status = try await put(#"{"block_severity":"high"}"#)
            #expect(status == 200)
            try await scene.deployment.heard()
            #expect(try await scene.pull().status == 403)
            let shown = try await scene.deployment.registry.get("/api/v1/organization/up", headers)
            #expect(shown.text.contains(#""block_severity":"High""#) && shown.text.contains(#""unscanned":"allow""#))
            let lifted = try await put(#"{"block_severity":"None"}"#)
            #expect(lifted == 200)
            try await scene.deployment.heard()
            #expect(try await scene.pull().status == 200)
            let logged = try await scene.client.query("SELECT 1 FROM log_entry WHERE kind = 'org_change_scan_policy'")
            #expect(logged.count == 2)
        }
    }

    @Test("images that nobody has looked into are waited for, or refused until somebody has")
    func unscanned() async throws {
        var environment = Self.keyed
        environment["ENTREPOT_SCAN_TIMEOUT"] = "300s"
        try await Self.with(dispatcher: nil, environment: environment) { scene in
            try await scene.setPolicy(ScanPolicy(unscanned: .deny))
            let refused = try await scene.pull()
            #expect(refused.status == 403 && refused.errorCode == "DENIED")
            try await scene.setPolicy(ScanPolicy(unscanned: .wait))
            async let waiting = scene.pull()
            try await eventually("it is queued") {
                try await !scene.client.query("SELECT 1 FROM manifest_scan WHERE state = 'queued'").isEmpty
            }
            try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
            let status = try await waiting.status
            #expect(status == 200)
            try await scene.setPolicy(ScanPolicy(unscanned: .deny))
            #expect(try await scene.pull().status == 200)
        }
    }

    @Test("a wait that takes too long ends with 503 and a time to come back")
    func waitedInVain() async throws {
        var environment = Self.keyed
        environment["ENTREPOT_SCAN_TIMEOUT"] = "200ms"
        try await Self.with(dispatcher: nil, environment: environment) { scene in
            try await scene.setPolicy(ScanPolicy(unscanned: .wait))
            let answer = try await scene.pull()
            #expect(answer.status == 503 && answer.errorCode == "UNAVAILABLE")
            #expect(answer.headers[.retryAfter] == "30")
        }
    }

    @Test("without a key there is no address for news")
    func noKey() async throws {
        try await Self.with(dispatcher: nil, environment: [:]) { scene in
            let answer = try await scene.scanner.post(UUID(), to: scene.deployment.registry)
            #expect(answer.status == 404)
        }
    }

    @Test("reports are for those who may pull")
    func privately() async throws {
        try await Self.with { scene in
            #expect(try await scene.pull().status == 200)
            try await scene.isScanned()
            try await scene.client.query("UPDATE organization SET public_pull = false")
            let path = "/api/v1/repository/up/a/b/manifest/\(scene.image.digest)/security"
            #expect(try await scene.deployment.registry.get(path).status == 401)
        }
    }
}

/// Takes what is posted.
private enum PostReceiver {
    static func with(
        _ receive: @escaping @Sendable (String) -> Void,
        _ body: (String) async throws -> Void
    ) async throws {
        try await StaticServer.with { _, _, content in
            receive(String(decoding: content, as: UTF8.self))
            return (204, "text/plain", [])
        } _: { url in
            try await body(url)
        }
    }
}
