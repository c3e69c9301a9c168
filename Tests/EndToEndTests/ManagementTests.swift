// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// The API under `/api/v1`, as scripts for the model's use it.
@Suite struct ManagementTests {
    private static let password = "a long password"
    private static let image = ImageFixture.single(seed: 1_100, size: 1_000)

    /// `root` may do everything, `adam` administers `team`, `mia` is a member of it, `rea` a reader, `otto` nothing.
    private struct Scene {
        let deployment: Deployment
        let upstream: ScriptedUpstream

        func call(
            _ method: HTTPRequest.Method,
            _ path: String,
            _ body: String? = nil,
            as name: String? = "root",
            secret: String = password
        ) async throws -> TestClient.Answer {
            var headers: HTTPFields = [.contentType: "application/json"]
            if let name { headers[.authorization] = "Basic " + Data("\(name):\(secret)".utf8).base64EncodedString() }
            return try await deployment.registry.send(
                method,
                "/api/v1/" + path,
                headers,
                body: body.map { Array($0.utf8) }
            )
        }

        /// Returns once so many statements wait for others.
        func untilWaiting(_ count: Int) async throws {
            try await eventually("\(count) statements wait") {
                try await deployment.client.query(
                    """
                    SELECT 1 FROM pg_stat_activity
                    WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
                    """
                ).count == count
            }
        }

        /// The answers to calls that wait for a change which somebody else makes at the same time.
        func answers(
            to calls: [(method: HTTPRequest.Method, path: String, body: String)],
            during change: Query
        ) async throws -> [TestClient.Answer] {
            let tasks = try await deployment.client.withTransaction { transaction in
                try await transaction.query(change)
                // They end after this transaction, which each of them waits for.
                let tasks = calls.map { method, path, body in Task { try await call(method, path, body) } }
                try await untilWaiting(tasks.count)
                return tasks
            }
            var answers: [TestClient.Answer] = []
            for task in tasks { answers.append(try await task.value) }
            return answers
        }

        func entrepot(_ words: [String], password: String? = nil) async throws {
            try await deployment.entrepot(words, password: password)
        }
    }

    private static func with(_ body: (Scene) async throws -> Void) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            let work = try TemporaryDirectory()
            try await run(try Executables.path("entrepot"), ["key", "new", work.path + "/key"])
            let keys = ["ENTREPOT_FETCHER_KEY_FILES": work.path + "/key"]
            try await Deployment.with([], environment: keys) { deployment in
                let scene = Scene(deployment: deployment, upstream: upstream)
                try await scene.entrepot(["user", "add", "root", "--superuser"], password: password)
                #expect(
                    try await scene.call(.post, "organization/", #"{"name":"team","email":"x@example.com"}"#).status
                        == 201
                )
                for (name, role) in [("adam", "admin"), ("mia", "member"), ("rea", "reader"), ("otto", "none")] {
                    try await scene.entrepot(["user", "add", name], password: password)
                    if role != "none" { try await scene.entrepot(["org", "member", "team", name, role]) }
                }
                try await body(scene)
            }
        }
    }

    @Test("a script for the model's API runs unchanged: organization, proxy cache, pull, delete")
    func script() async throws {
        try await Self.with { scene in
            let none = try await scene.call(.get, "organization/team/proxycache")
            #expect(none.text == #"{"expiration_s":"","insecure":"","upstream_registry":""}"#)
            let body = #"{"upstream_registry":"\#(scene.upstream.host)","insecure":true,"expiration_s":3600}"#
            let created = try await scene.call(.post, "organization/team/proxycache", body, as: "adam")
            #expect(created.status == 201 && created.text == "\"Created\"", "\(created.text)")
            let again = try await scene.call(.post, "organization/team/proxycache", body, as: "adam")
            #expect(again.status == 400 && again.text.contains("Proxy Cache Configuration already exists"))
            struct View: Decodable {
                let upstream_registry: String, expiration_s: Int, insecure: Bool, staleness_s: Int
            }
            let shown = try await scene.call(.get, "organization/team/proxycache", as: "mia")
            let view = try JSONDecoder().decode(View.self, from: Data(shown.body))
            #expect(view.upstream_registry == scene.upstream.host && view.insecure && view.expiration_s == 3600)
            #expect(view.staleness_s == 3600)

            #expect(try await scene.call(.put, "organization/team", #"{"public_pull":true}"#, as: "adam").status == 200)
            expectServed(try await scene.deployment.registry.get("/v2/team/a/b/manifests/t"), Self.image.bytes)

            let deleted = try await scene.call(.delete, "organization/team/proxycache", as: "adam")
            #expect(deleted.status == 201 && deleted.text == "\"Deleted\"")
            #expect(try await scene.call(.delete, "organization/team/proxycache", as: "adam").status == 404)
            try await scene.deployment.heard()
            expectServed(try await scene.deployment.registry.get("/v2/team/a/b/manifests/t"), Self.image.bytes)
            let kinds = try await scene.deployment.client.query(
                "SELECT kind FROM log_entry WHERE account = 'adam' ORDER BY id"
            ).decode(String.self)
            #expect(kinds == ["create_proxy_cache_config", "org_change_visibility", "delete_proxy_cache_config"])
        }
    }

    @Test("a configuration is edited in place: new credentials and clocks, and the cache stays")
    func editing() async throws {
        try await Self.with { scene in
            let path = "organization/team/proxycache"
            let body = #"{"upstream_registry":"\#(scene.upstream.host)","insecure":true}"#
            #expect(try await scene.call(.post, path, body).status == 201)
            #expect(try await scene.call(.put, "organization/team", #"{"public_pull":true}"#).status == 200)
            expectServed(try await scene.deployment.registry.get("/v2/team/a/b/manifests/t"), Self.image.bytes)
            let edit = #"""
                {"freshness_s":60,"staleness_s":120,"on_upstream_delete":"hide","platforms":["linux/arm64"],
                 "foreign_layer_hosts":["cdn.example.com"],
                 "upstream_registry_username":"robot","upstream_registry_password":"canary-secret"}
                """#
            let edited = try await scene.call(.put, path, edit)
            #expect(edited.status == 200, "\(edited.text)")
            let shown = try await scene.call(.get, path).text
            for text in [#""freshness_s":60"#, #""staleness_s":120"#, "hide", "linux/arm64", "cdn.example.com"] {
                #expect(shown.contains(text), "\(text): \(shown)")
            }
            #expect(shown.contains(scene.upstream.host), "what isn't named stays")
            #expect(!shown.contains("robot") && !shown.contains("canary-secret"))
            #expect(try await !scene.deployment.dump().contains("canary-secret"))
            try await scene.deployment.heard()
            scene.upstream.forgetRequests()
            expectServed(try await scene.deployment.registry.get("/v2/team/a/b/manifests/t"), Self.image.bytes)
            #expect(scene.upstream.requests.isEmpty, "still cached, and fresh now")
            #expect(try await scene.call(.put, "organization/other/proxycache", "{}").status == 404)
        }
    }

    @Test("a change of an organization that is refused for one field changes none of the others")
    func wholeChanges() async throws {
        try await Self.with { scene in
            let body = #"{"public_pull":true,"keeps_pruned":true,"time_machine_s":60,"unscanned":"deny"}"#
            let bad = body.dropLast() + #","block_severity":"Bogus"}"#
            func settings() async throws -> [String] {
                try await scene.deployment.client.query(
                    """
                    SELECT concat_ws(' ', public_pull, keeps_pruned, coalesce(time_machine_s, -1), unscanned)
                    FROM organization
                    """
                ).decode(String.self)
            }
            let before = try await settings()
            let refused = try await scene.call(.put, "organization/team", String(bad), as: "adam")
            #expect(refused.status == 400 && refused.text.contains("block_severity"), "\(refused.text)")
            #expect(try await settings() == before)
            #expect(try await scene.call(.put, "organization/team", body, as: "adam").status == 200)
            #expect(try await settings() == ["t t 60 deny"])
        }
    }

    @Test("two changes of an organization at once, each of another field, are both kept")
    func concurrentChanges() async throws {
        try await Self.with { scene in
            let answers = try await scene.answers(
                to: [(.put, "organization/team", #"{"unscanned":"deny"}"#)],
                during: "UPDATE organization SET block_severity = 'High' WHERE name = 'team'"
            )
            #expect(answers.map(\.status) == [200])
            let shown = try await scene.call(.get, "organization/team").text
            #expect(shown.contains(#""block_severity":"High""#) && shown.contains(#""unscanned":"deny""#), "\(shown)")
        }
    }

    @Test("a change of the scheme alone keeps the upstream that somebody gave meanwhile, and takes no login along")
    func concurrentScheme() async throws {
        try await Self.with { scene in
            let path = "organization/team/proxycache"
            let login = #","upstream_registry_username":"u","upstream_registry_password":"p""#
            #expect(try await scene.call(.post, path, #"{"upstream_registry":"quay.io"}"#).status == 201)
            let answers = try await scene.answers(
                to: [(.put, path, #"{"insecure":true}"#)],
                during: "UPDATE proxy_cache_config SET upstream_registry = 'ghcr.io'"
            )
            #expect(answers.map(\.status) == [200])
            let shown = try await scene.call(.get, path).text
            #expect(shown.contains(#""upstream_registry":"ghcr.io""#), "\(shown)")
            #expect(shown.contains(#""insecure":true"#), "\(shown)")
            for (body, stays) in [(#"{"insecure":true}"#, true), (#"{"insecure":false}"#, false)] {
                #expect(try await scene.call(.put, path, "{\"insecure\":true\(login)}").status == 200)
                #expect(try await scene.call(.put, path, body).status == 200)
                let has = try await scene.call(.get, path).text.contains(#""has_credentials":true"#)
                #expect(has == stays, "\(body)")
            }
        }
    }

    @Test("what is to be changed of an organization that is removed meanwhile isn't there")
    func removedMeanwhile() async throws {
        let changes: [(method: HTTPRequest.Method, path: String, body: String)] = [
            (.put, "organization/team", #"{"public_pull":true}"#),
            (.post, "organization/team/proxycache", #"{"upstream_registry":"quay.io"}"#),
            (.put, "organization/team/members/otto", #"{"role":"reader"}"#),
            (.put, "organization/team/robots/ci", "{}"), (.post, "organization/team/quota", #"{"limit":"1GiB"}"#),
        ]
        try await Self.with { scene in
            let answers = try await scene.answers(to: changes, during: "DELETE FROM organization WHERE name = 'team'")
            for (change, answer) in zip(changes, answers) {
                #expect(answer.status == 404, "\(change.path): \(answer.text)")
            }
        }
    }

    @Test("a body has no fields where none are known, and may be left out where none are needed")
    func bodies() async throws {
        try await Self.with { scene in
            let path = "organization/team/proxycache"
            #expect(try await scene.call(.post, path, #"{"upstream_registry":"quay.io"}"#).status == 201)
            let refused = try await scene.call(.delete, path, #"{"size":1,"colour":"red"}"#)
            #expect(refused.status == 400 && refused.text.contains("unknown fields: colour, size"), "\(refused.text)")
            #expect(try await scene.call(.put, path).status == 200)
            #expect(try await scene.call(.delete, path, "{}").status == 201)
        }
    }

    @Test("an answer to HEAD has no body, and the next answer on its connection begins where it ends")
    func head() async throws {
        try await Deployment.with([], fetchers: 0) { deployment in
            let port = try #require(deployment.registry.base.split(separator: ":").last.flatMap { Int($0) })
            for path in ["/openapi.json", "/api/v1/nothing", "/v2/auth", "/secscan/layer/x"] {
                let answers = try await rawExchange(
                    port: port,
                    "HEAD \(path) HTTP/1.1\r\nHost: x\r\n\r\n"
                        + "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                    untilClosed: true
                )
                let parts = answers.components(separatedBy: "\r\n\r\n")
                #expect(parts.count == 3 && parts[1].hasPrefix("HTTP/1.1 401"), "\(path): \(answers)")
            }
        }
    }

    @Test("every identity may do what its role allows, and can't tell the rest from what isn't there")
    func roles() async throws {
        try await Self.with { scene in
            let path = "organization/team/proxycache"
            let body = #"{"upstream_registry":"quay.io"}"#
            let table: [(HTTPRequest.Method, String, String?, [String: Int])] = [
                (.get, "organization/team", nil, ["rea": 200, "mia": 200, "adam": 200, "root": 200]),
                (.get, path, nil, ["mia": 200, "adam": 200, "root": 200]),
                (.post, path, body, ["adam": 201, "root": 400]), (.put, path, "{}", ["adam": 200, "root": 200]),
                (.delete, path, nil, ["adam": 201, "root": 404]),
                (.put, "organization/team", "{}", ["adam": 200, "root": 200]),
                (.post, "organization", #"{"name":"another"}"#, ["root": 201]),
            ]
            for (method, path, body, allowed) in table {
                for name in ["rea", "mia", "adam", "otto", "root"] {
                    let got = try await scene.call(method, path, body, as: name)
                    #expect(got.status == allowed[name] ?? 403, "\(name) \(method) \(path): \(got.text)")
                    guard allowed[name] == nil else { continue }
                    let absent = try await scene.call(method, path.replacing("team", with: "absent"), body, as: name)
                    #expect(absent.status == got.status && absent.text == got.text, "\(name) \(method) \(path)")
                }
                let nobody = try await scene.call(method, path, body, as: nil)
                #expect(nobody.status == 401 && nobody.headers[.wwwAuthenticate]?.hasPrefix("Basic") == true)
                #expect(try await scene.call(method, path, body, as: "root", secret: "wrong password").status == 401)
                try await scene.deployment.client.query("DELETE FROM login_throttle")
            }
        }
    }

    @Test("bad input is refused with the field's name, in the model's envelope")
    func validation() async throws {
        try await Self.with { scene in
            let path = "organization/team/proxycache"
            let wrong: [(String, String)] = [
                ("{}", "upstream_registry"), (#"{"upstream_registry":7}"#, "upstream_registry"),
                (#"{"upstream_registry":"not a host"}"#, "upstream_registry"),
                (#"{"upstream_registry":"quay.io","expiration_s":"1"}"#, "expiration_s"),
                (#"{"upstream_registry":"quay.io","expiration_s":-1}"#, "expiration_s"),
                (#"{"upstream_registry":"quay.io","expiration_s":1.5}"#, "expiration_s"),
                (#"{"upstream_registry":"quay.io","expiration_s":true}"#, "expiration_s"),
                (#"{"upstream_registry":"quay.io","insecure":"yes"}"#, "insecure"),
                (#"{"upstream_registry":"quay.io","insecure":1}"#, "insecure"),
                (#"{"upstream_registry":"quay.io","platforms":["linux"]}"#, "platforms"),
                (#"{"upstream_registry":"quay.io","platforms":"linux/amd64"}"#, "platforms"),
                (#"{"upstream_registry":"quay.io","on_upstream_delete":"x"}"#, "on_upstream_delete"),
                (#"{"upstream_registry":"quay.io","realm_hosts":["http://x"]}"#, "realm_hosts"),
                (#"{"upstream_registry":"quay.io","upstream_registry_username":"x"}"#, "upstream_registry_password"),
                (#"{"upstream_registry":"quay.io","colour":"red","size":1}"#, "colour, size"), ("[]", "JSON object"),
                ("{", "JSON object"), ("", "JSON object"),
            ]
            for (body, name) in wrong {
                let got = try await scene.call(.post, path, body)
                struct Envelope: Decodable {
                    let detail: String, error_message: String, error_type: String, status: Int, title: String
                }
                #expect(got.status == 400, "\(body): \(got.text)")
                let envelope = try JSONDecoder().decode(Envelope.self, from: Data(got.body))
                #expect(envelope.detail.contains(name), "\(body): \(envelope.detail)")
                #expect(envelope.status == 400 && envelope.error_type == "invalid_request")
                #expect(got.headers[.contentType] == "application/problem+json")
            }
            let large = "{\"upstream_registry\":\"\(String(repeating: "a", count: 1_100_000))\"}"
            #expect(try await scene.call(.post, path, large).status == 413)
            #expect(try await scene.call(.post, "organization", #"{"name":"UPPER"}"#).text.contains("name"))
            #expect(try await scene.call(.post, "organization", #"{"name":"team"}"#).status == 400)
            #expect(try await scene.call(.get, "nothing").status == 404)
            let rows = try await scene.deployment.client.query("SELECT 1 FROM proxy_cache_config")
            #expect(rows.isEmpty)
        }
    }
}
