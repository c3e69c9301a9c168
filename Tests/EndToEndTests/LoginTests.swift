// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Who may pull, and how clients log in.
@Suite struct LoginTests {
    private static let image = ImageFixture.single(seed: 990, size: 40_000)
    private static let manifest = "/v2/closed/a/b/manifests/t"
    private static let password = "a long password"

    /// A private organization `closed`, a public one `open`, and people: `anna` is a reader of `closed`, `otto` of none,
    /// `root` may do everything. The robot is `closed`'s.
    private struct Scene {
        let deployment: Deployment
        let upstream: ScriptedUpstream
        let robotToken: String
        let robotTokenID: String

        func entrepot(_ words: [String], input: String? = nil) async throws -> [String] {
            try await deployment.entrepot(words, password: input).split(separator: "\n").map(String.init)
        }

        /// A token of the endpoint.
        func token(
            _ login: (name: String, secret: String)?,
            scope: String? = "repository:closed/a/b:pull",
            by client: TestClient? = nil
        ) async throws -> TestClient.Answer {
            var headers = HTTPFields()
            if let login {
                headers[.authorization] = "Basic " + Data("\(login.name):\(login.secret)".utf8).base64EncodedString()
            }
            let query = scope.map { "&scope=\($0)" } ?? ""
            return try await (client ?? deployment.registry).get("/v2/auth?service=entrepot\(query)", headers)
        }

        func bearer(_ login: (name: String, secret: String)?, scope: String = "repository:closed/a/b:pull") async throws
            -> HTTPFields
        {
            let answer = try await token(login, scope: scope)
            struct Body: Decodable { let token: String }
            let body = try JSONDecoder().decode(Body.self, from: Data(answer.body))
            return [.authorization: "Bearer \(body.token)"]
        }
    }

    private static func with(frontends: Int = 1, _ body: (Scene) async throws -> Void) async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            upstream.list { $0.tags["a/b"] = ["t"] }
            try await Deployment.with(["closed=\(upstream.url)", "open=\(upstream.url)"], frontends: frontends) {
                deployment in
                var scene = Scene(deployment: deployment, upstream: upstream, robotToken: "", robotTokenID: "")
                for name in ["anna", "otto"] { _ = try await scene.entrepot(["user", "add", name], input: password) }
                _ = try await scene.entrepot(["user", "add", "root", "--superuser"], input: password)
                _ = try await scene.entrepot(["org", "member", "closed", "anna", "reader"])
                _ = try await scene.entrepot(["org", "access", "closed", "private"])
                let robot = try await scene.entrepot(["robot", "token", "closed", "ci", "--days", "1"])
                scene = Scene(
                    deployment: deployment,
                    upstream: upstream,
                    robotToken: String(robot[1].dropFirst("token ".count)),
                    robotTokenID: String(robot[2].dropFirst("id ".count))
                )
                try await body(scene)
            }
        }
    }

    @Test("the ping tells where tokens come from, and so does what needs one, with its scope")
    func challenge() async throws {
        try await Self.with { scene in
            let registry = scene.deployment.registry
            let host = registry.base.dropFirst("http://".count)
            let spoofed: HTTPFields = [try #require(HTTPField.Name("X-Forwarded-Host")): "evil.example"]
            let ping = try await registry.get("/v2/", spoofed)
            #expect(ping.status == 401 && ping.errorCode == "UNAUTHORIZED")
            #expect(
                ping.headers[.wwwAuthenticate] == "Bearer realm=\"http://\(host)/v2/auth\",service=\"entrepot\""
            )
            let pull = try await registry.get(Self.manifest)
            #expect(pull.status == 401)
            #expect(
                pull.headers[.wwwAuthenticate]?.hasSuffix(",scope=\"repository:closed/a/b:pull\"") == true,
                "\(pull.headers)"
            )
            #expect(try await scene.token(nil, scope: nil).status == 401)
            let anonymous = try await scene.bearer(nil)
            #expect(try await registry.get("/v2/", anonymous).status == 200)
            #expect(try await registry.get(Self.manifest, anonymous).status == 401)
            #expect(try await registry.get("/v2/open/a/b/manifests/t").status == 200, "public, without any token")
        }
    }

    @Test("every identity over every route reaches what it may, and can't tell the rest from what isn't there")
    func matrix() async throws {
        try await Self.with(frontends: 2) { scene in
            let reader = try await scene.bearer(("anna", Self.password))
            expectServed(try await scene.deployment.registry.get(Self.manifest, reader), Self.image.bytes)
            let blob = Self.image.blobs[1].digest
            let routes = [
                "manifests/t", "manifests/\(Self.image.digest)", "blobs/\(blob)", "tags/list",
                "referrers/\(Self.image.digest)",
            ]
            let identities: [(name: String, login: (name: String, secret: String)?, status: Int)] = [
                ("nobody", nil, 401), ("otto", ("otto", Self.password), 403), ("anna", ("anna", Self.password), 200),
                ("root", ("root", Self.password), 200), ("robot", ("closed+ci", scene.robotToken), 200),
                ("any name with the robot's token", ("$oauthtoken", scene.robotToken), 200),
            ]
            for identity in identities {
                for route in routes {
                    for method in [HTTPRequest.Method.get, .head] {
                        for client in scene.deployment.clients {
                            let scope = "repository:closed/a/b:pull"
                            let headers = try await scene.bearer(identity.login, scope: scope)
                            let got = try await client.send(method, "/v2/closed/a/b/\(route)", headers)
                            #expect(got.status == identity.status, "\(identity.name) \(method) \(route)")
                            guard identity.status != 200, method == .get else { continue }
                            let other = "/v2/absent/a/b/\(route)"
                            let absent = try await client.get(
                                other,
                                try await scene.bearer(identity.login, scope: "repository:absent/a/b:pull")
                            )
                            #expect(absent.status == got.status)
                            #expect(
                                absent.text.replacing("absent/", with: "closed/") == got.text,
                                "\(identity.name) \(route) tells what is there"
                            )
                        }
                    }
                }
            }
            let narrow = try await scene.bearer(("anna", Self.password), scope: "repository:closed/other:pull")
            let insufficient = try await scene.deployment.registry.get(Self.manifest, narrow)
            #expect(insufficient.status == 401)
            #expect(insufficient.headers[.wwwAuthenticate]?.contains("error=\"insufficient_scope\"") == true)
        }
    }

    @Test("tokens are asked for by form, too, and wrong asks are refused by their faults")
    func form() async throws {
        try await Self.with { scene in
            func post(_ body: String) async throws -> TestClient.Answer {
                try await scene.deployment.registry.send(.post, "/v2/auth", [:], body: Array(body.utf8))
            }
            let secret = Self.password.replacing(" ", with: "+")
            let good = try await post(
                "grant_type=password&username=anna&password=\(secret)&service=entrepot&scope=repository%3Aclosed%2Fa%2Fb%3Apull"
            )
            #expect(good.status == 200, "\(good.text)")
            struct Body: Decodable { let token: String, access_token: String, expires_in: Int, issued_at: String }
            let body = try JSONDecoder().decode(Body.self, from: Data(good.body))
            #expect(body.token == body.access_token && body.expires_in >= 60)
            let headers: HTTPFields = [.authorization: "Bearer \(body.access_token)"]
            expectServed(try await scene.deployment.registry.get(Self.manifest, headers), Self.image.bytes)
            #expect(try await post("grant_type=refresh_token&refresh_token=x").status == 400)
            #expect(try await post("grant_type=password&username=anna&password=wrong+one").status == 401)
            #expect(try await post(String(repeating: "a", count: 70_000)).status == 413)
            #expect(try await scene.token(("anna", Self.password), scope: "nonsense").status == 400)
            #expect(try await scene.token(("anna", Self.password), scope: nil).status == 200, "docker login")
            for wrong in ["Basic !!!", "Basic " + Data("nocolon".utf8).base64EncodedString(), "Digest x"] {
                let answer = try await scene.deployment.registry.get(
                    "/v2/auth?scope=repository:a/b:pull",
                    [.authorization: wrong]
                )
                #expect(answer.status == 401, "\(wrong)")
            }
            #expect(try await scene.deployment.registry.get(Self.manifest, [.authorization: "Bearer x"]).status == 401)
            #expect(try await scene.deployment.registry.send(.put, "/v2/auth").status == 405)
        }
    }

    @Test("what is taken away ends tokens that were given out before, at every frontend")
    func revocation() async throws {
        try await Self.with(frontends: 2) { scene in
            let robot = try await scene.bearer(("closed+ci", scene.robotToken))
            let anna = try await scene.bearer(("anna", Self.password))
            let root = try await scene.bearer(("root", Self.password))
            for client in scene.deployment.clients {
                for headers in [robot, anna, root] {
                    #expect(try await client.get(Self.manifest, headers).status == 200)
                }
            }
            _ = try await scene.entrepot(["robot", "revoke", "closed+ci", scene.robotTokenID])
            _ = try await scene.entrepot(["org", "member", "closed", "anna", "none"])
            _ = try await scene.entrepot(["user", "disable", "root"])
            for client in scene.deployment.clients {
                try await eventually("every frontend has heard of it") {
                    let statuses = [
                        try await client.get(Self.manifest, robot).status,
                        try await client.get(Self.manifest, anna).status,
                        try await client.get(Self.manifest, root).status,
                    ]
                    return statuses == [401, 403, 401]
                }
            }
            #expect(try await scene.token(("closed+ci", scene.robotToken)).status == 401)
            #expect(try await scene.token(("root", Self.password)).status == 401)
            _ = try await scene.entrepot(["user", "password", "anna"], input: "another password")
            #expect(try await scene.token(("anna", Self.password)).status == 401)
            #expect(try await scene.token(("anna", "another password")).status == 200)
        }
    }

    @Test(
        "who guesses is slowed down, by account and over all frontends, and the right password helps nobody meanwhile"
    )
    func throttling() async throws {
        try await Self.with(frontends: 2) { scene in
            for number in 0..<6 {
                let client = scene.deployment.clients[number % 2]
                #expect(try await scene.token(("anna", "wrong \(number) wrong"), by: client).status == 401)
            }
            // The first block is short: a slow machine would be past it. One that there isn't can't be made longer.
            try await scene.deployment.client.query(
                "UPDATE login_throttle SET blocked_until = blocked_until + interval '1 hour' WHERE key = 'account:anna'"
            )
            let blocked = try await scene.token(("anna", Self.password), by: scene.deployment.clients[1])
            #expect(blocked.status == 429 && blocked.errorCode == "TOOMANYREQUESTS", "\(blocked.text)")
            #expect(blocked.headers[.retryAfter].flatMap { Int($0) }.map { $0 >= 1 } == true)
            #expect(try await scene.token(("otto", Self.password)).status == 200, "others aren't")
            try await scene.deployment.client.query("UPDATE login_throttle SET blocked_until = '-infinity'")
            #expect(try await scene.token(("anna", Self.password)).status == 200)
            let rows = try await scene.deployment.client.query(
                "SELECT 1 FROM login_throttle WHERE key = 'account:anna'"
            )
            #expect(rows.isEmpty, "a right one forgives")
            #expect(scene.deployment.frontends.allSatisfy { !$0.lines.contains { $0.contains("wrong 0") } })
        }
    }

    @Test("podman and skopeo log in, pull from a private organization, and are turned away without")
    func realClients() async throws {
        try await Self.with { scene in
            let address = String(scene.deployment.registry.base.dropFirst("http://".count))
            let work = try TemporaryDirectory()
            let auth = ["--authfile", work.path + "/auth.json"]
            let source = "docker://\(address)/closed/a/b:t"
            let copy = ["copy", "-q", "--src-tls-verify=false", "--src-authfile", work.path + "/auth.json"]
            try "{}".write(toFile: work.path + "/auth.json", atomically: true, encoding: .utf8)
            let refused = try await TestProcess("/usr/bin/env", ["skopeo"] + copy + [source, "dir:\(work.path)/no"])
            #expect(try await refused.exitStatus() != 0)
            let wrong = try await TestProcess(
                "/usr/bin/env",
                ["skopeo", "login", "--tls-verify=false"] + auth + ["-u", "anna", "-p", "wrong password", address]
            )
            #expect(try await wrong.exitStatus() != 0)
            try await run(
                "skopeo",
                ["login", "--tls-verify=false"] + auth + ["-u", "anna", "-p", Self.password, address]
            )
            try await run("skopeo", copy + [source, "dir:\(work.path)/yes"])
            try await run("skopeo", ["logout"] + auth + [address])
            let open = ["inspect", "--raw", "--tls-verify=false"] + auth + ["docker://\(address)/open/a/b:t"]
            #expect(try await run("skopeo", open) == String(decoding: Self.image.bytes, as: UTF8.self))
            let storage = ["--root", work.path + "/p", "--runroot", work.path + "/pr", "--storage-driver=vfs"]
            try await run(
                "podman",
                storage + ["login", "--tls-verify=false"] + auth + ["-u", "closed+ci", "-p", scene.robotToken, address]
            )
        }
    }
}

extension HTTPField.Name {
    static let wwwAuthenticate = field("WWW-Authenticate")
}
