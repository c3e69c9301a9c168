// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Accounts, their passwords and tokens, over the API and the registry.
@Suite struct AccountTests {
    private static let password = "a long password"

    /// `anna` has a password, `up+ci` is a robot. Nothing is fetched here.
    private struct Scene: Sendable {
        let deployment: Deployment
        let robotToken: String

        var registry: TestClient { deployment.registry }

        /// Calls the API; the superuser unless it is somebody else.
        func call(
            _ method: HTTPRequest.Method,
            _ path: String,
            _ body: String? = nil,
            as authorization: String = AccountTests.basic("admin", Deployment.operatorPassword)
        ) async throws -> TestClient.Answer {
            let headers: HTTPFields = [.contentType: "application/json", .authorization: authorization]
            return try await registry.send(method, "/api/v1/" + path, headers, body: body.map { Array($0.utf8) })
        }

        /// Asks the registry for a token.
        func login(_ name: String, _ secret: String = AccountTests.password) async throws -> TestClient.Answer {
            try await registry.get("/v2/auth?service=entrepot", [.authorization: AccountTests.basic(name, secret)])
        }

        func bearer(_ name: String, _ secret: String = AccountTests.password) async throws -> String {
            struct Body: Decodable { let token: String }
            let answer = try await login(name, secret)
            return "Bearer \(try JSONDecoder().decode(Body.self, from: Data(answer.body)).token)"
        }

        func ping(_ authorization: String) async throws -> Int {
            try await registry.get("/v2/", [.authorization: authorization]).status
        }

        func failures() async throws -> Int {
            try await deployment.client.query("SELECT 1 FROM login_throttle WHERE failures > 0").count
        }
    }

    /// A token that was just made.
    private struct Made: Decodable {
        struct Token: Decodable {
            let token_code: String
            let expiration: String?
        }
        let token: Token
    }

    private static func basic(_ name: String, _ secret: String) -> String {
        "Basic " + Data("\(name):\(secret)".utf8).base64EncodedString()
    }

    private static func with(_ body: (Scene) async throws -> Void) async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            try await deployment.entrepot(["user", "add", "anna"], password: password)
            let robot = try await deployment.entrepot(["robot", "token", "up", "ci"]).split(separator: "\n")
            let token = try #require(robot.first { $0.hasPrefix("token ") }).dropFirst("token ".count)
            try await body(Scene(deployment: deployment, robotToken: String(token)))
        }
    }

    @Test("a password that was made up opens its account")
    func madeUp() async throws {
        try await Self.with { scene in
            let shown = try await scene.deployment.entrepot(["user", "add", "otto"])
            #expect(shown.hasPrefix("password "))
            let made = try await scene.call(.post, "superuser/users", #"{"username":"olga"}"#)
            struct Made: Decodable { let password: String }
            let body = try JSONDecoder().decode(Made.self, from: Data(made.body))
            for (name, password) in [("otto", String(shown.dropFirst("password ".count))), ("olga", body.password)] {
                #expect(try await scene.login(name, password).status == 200, "\(name)")
                #expect(try await scene.call(.get, "user", as: Self.basic(name, password)).status == 200, "\(name)")
            }
        }
    }

    @Test("a good token that isn't for managing is refused as such, however often, and as no guess")
    func scopes() async throws {
        try await Self.with { scene in
            func token(_ scope: String) async throws -> String {
                let wish = #"{"title":"x","scopes":["\#(scope)"]}"#
                let answer = try await scene.call(
                    .post,
                    "user/apptoken",
                    wish,
                    as: Self.basic("anna", Self.password)
                )
                let made = try JSONDecoder().decode(Made.self, from: Data(answer.body))
                return made.token.token_code
            }
            let (puller, manager) = (try await token("repo:read"), try await token("org:admin"))
            let insufficient = [
                Self.basic("up+ci", scene.robotToken), "Bearer \(scene.robotToken)", Self.basic("anna", puller),
                "Bearer \(puller)", try await scene.bearer("anna"), try await scene.bearer("up+ci", scene.robotToken),
            ]
            for authorization in insufficient + insufficient {
                for path in ["user", "user/apptoken", "organization/up"] {
                    let answer = try await scene.call(.get, path, as: authorization)
                    #expect(answer.status == 403 && answer.text.contains("insufficient_scope"), "\(answer.text)")
                    #expect(answer.headers[.contentType] == "application/problem+json")
                }
            }
            let login = try await scene.login("anna", manager)
            #expect(login.status == 403 && login.errorCode == "DENIED", "\(login.text)")
            let user = try await scene.call(.get, "user", as: "Bearer \(manager)")
            #expect(user.status == 200 && user.text.contains(#""is_robot":false"#), "\(user.text)")
            #expect(try await scene.failures() == 0)
            #expect(try await scene.call(.get, "user", as: "Bearer a.b.c").status == 401)
            #expect(try await scene.failures() > 0)
        }
    }

    @Test("what a token makes ends with it, and no token is enough to change a password")
    func tokensOfTokens() async throws {
        try await Self.with { scene in
            func make(_ wish: String, as authorization: String) async throws -> Made.Token {
                let answer = try await scene.call(.post, "user/apptoken", wish, as: authorization)
                #expect(answer.status == 200, "\(answer.text)")
                let made = try JSONDecoder().decode(Made.self, from: Data(answer.body))
                return made.token
            }
            let anna = Self.basic("anna", Self.password)
            let short = try await make(#"{"title":"t","expires_s":3600}"#, as: anna)
            let bearer = "Bearer \(short.token_code)"
            #expect(try await make(#"{"title":"t"}"#, as: bearer).expiration == short.expiration)
            let shorter = try await make(#"{"title":"t","expires_s":60}"#, as: bearer)
            #expect(shorter.expiration != nil && shorter.expiration != short.expiration)
            let longer = try await scene.call(.post, "user/apptoken", #"{"title":"t","expires_s":3700}"#, as: bearer)
            #expect(longer.status == 400 && longer.text.contains("expires_s"), "\(longer.text)")
            let lasting = try await make(#"{"title":"t"}"#, as: anna)
            #expect(lasting.expiration == nil)
            #expect(try await make(#"{"title":"t"}"#, as: "Bearer \(lasting.token_code)").expiration == nil)

            let change = #"{"password":"another password"}"#
            let refused = try await scene.call(.put, "user", change, as: "Bearer \(lasting.token_code)")
            #expect(refused.status == 403 && refused.text.contains("fresh_login_required"), "\(refused.text)")
            #expect(try await scene.call(.put, "user", change, as: anna).status == 200)
            #expect(try await scene.login("anna", "another password").status == 200)
        }
    }

    @Test("a name that no database takes is refused like one that nobody has, and no failure of ours")
    func strangeNames() async throws {
        try await Self.with { scene in
            let long = String(repeating: "a" + String(repeating: "\u{301}", count: 30), count: 200)
            for name in ["a\0b", long] {
                #expect(try await scene.login(name).status == 401)
                #expect(try await scene.call(.get, "user", as: Self.basic(name, Self.password)).status == 401)
            }
            let form = "grant_type=password&username=a%00b&password=a+long+password&service=entrepot"
            #expect(try await scene.registry.send(.post, "/v2/auth", [:], body: Array(form.utf8)).status == 401)
            let counted = try await scene.deployment.client.query(
                "SELECT failures FROM login_throttle WHERE key LIKE 'address:%'"
            ).decodeFirst(Int.self)
            #expect(counted == 5)
        }
    }

    @Test("a robot's new token has the lifetime that is asked for, and what isn't understood makes none")
    func regenerate() async throws {
        try await Self.with { scene in
            let path = "organization/up/robots/ci"
            let wrong = try await scene.call(.post, path + "/regenerate", #"{"expires_s":60,"bogus":1}"#)
            #expect(wrong.status == 400 && wrong.text.contains("bogus"), "\(wrong.text)")
            #expect(try await scene.login("up+ci", scene.robotToken).status == 200, "nothing was revoked")
            #expect(try await scene.call(.post, path + "/regenerate", #"{"expires_s":60}"#).status == 200)
            #expect(try await scene.login("up+ci", scene.robotToken).status == 401)
            struct List: Decodable {
                struct Token: Decodable { let expiration: String? }
                let tokens: [Token]
            }
            func expirations() async throws -> [String?] {
                let answer = try await scene.call(.get, path + "/tokens")
                return try JSONDecoder().decode(List.self, from: Data(answer.body)).tokens.map(\.expiration)
            }
            let limited = try await expirations()
            #expect(limited.count == 1 && limited.allSatisfy { $0 != nil })
            #expect(try await scene.call(.post, path + "/regenerate").status == 200)
            #expect(try await expirations() == [nil])
        }
    }

    @Test("a change of an account is done as a whole, or not at all")
    func wholeChanges() async throws {
        try await Self.with { scene in
            let both = #"{"password":"another password","enabled":false}"#
            let own = try await scene.call(.put, "superuser/users/admin", both)
            #expect(own.status == 400 && own.text.contains("enabled"), "\(own.text)")
            #expect(try await scene.call(.get, "user").status == 200, "with the password of before")
            #expect(try await scene.call(.put, "superuser/users/anna", both).status == 200)
            #expect(try await scene.login("anna", "another password").status == 401)
            #expect(try await scene.call(.put, "superuser/users/anna", #"{"enabled":true}"#).status == 200)
            #expect(try await scene.login("anna", "another password").status == 200)
            #expect(try await scene.login("anna").status == 401)
        }
    }

    @Test("a new password ends what the registry gave for the old one, and nothing that a token was given for")
    func passwordReset() async throws {
        try await Self.with { scene in
            let (anna, robot) = (
                try await scene.bearer("anna"), try await scene.bearer("up+ci", scene.robotToken)
            )
            #expect(try await scene.ping(anna) == 200)
            #expect(try await scene.ping(robot) == 200)
            try await scene.deployment.entrepot(["user", "password", "anna"], password: "another password")
            try await eventually("the frontend has heard of it") { try await scene.ping(anna) == 401 }
            #expect(try await scene.ping(robot) == 200)
            #expect(try await scene.ping(try await scene.bearer("anna", "another password")) == 200)
        }
    }

    @Test("who sets many passwords at the same time is told to wait")
    func manyPasswords() async throws {
        try await Self.with { scene in
            var answers: [TestClient.Answer] = []
            // A client that is too slow to be many at the same time tries again.
            try await eventually("somebody is told") {
                answers += try await withThrowingTaskGroup(of: TestClient.Answer.self) { group in
                    for _ in 0..<50 {
                        group.addTask {
                            try await scene.call(.put, "superuser/users/anna", #"{"password":"another password"}"#)
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                return answers.contains { $0.status == 429 }
            }
            #expect(Set(answers.map(\.status)) == [200, 429])
            let busy = answers.filter { $0.status == 429 }
            #expect(busy.allSatisfy { $0.headers[.retryAfter] == "2" && $0.text.contains("exceeds_rate_limit") })
        }
    }
}
