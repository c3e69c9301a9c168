// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// The API against its own document.
@Suite("API document") struct APIDocumentTests {
    private static let image = ImageFixture.single(seed: 1_200, size: 5_000)

    /// An operation as the document describes it.
    private struct Described {
        let id: String
        let method: HTTPRequest.Method
        let path: String
        let success: Int
        /// Nil without a body.
        let schema: [String: Any]?
        let mediaTypes: Set<String>
        let needsLogin: Bool
        let takesBody: Bool
    }

    private static func operations(_ registry: TestClient) async throws -> [Described] {
        let answer = try await registry.get("/openapi.json")
        #expect(answer.status == 200)
        #expect(try await registry.get("/api/v1/discovery").body == answer.body)
        let document = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        #expect(document["openapi"] as? String == "3.1.0")
        var found: [Described] = []
        for (path, methods) in try #require(document["paths"] as? [String: [String: [String: Any]]]) {
            for (method, operation) in methods {
                let responses = try #require(operation["responses"] as? [String: [String: Any]])
                let success = try #require(responses.first { $0.key.hasPrefix("2") })
                let content = success.value["content"] as? [String: [String: Any]]
                found.append(
                    Described(
                        id: try #require(operation["operationId"] as? String),
                        method: try #require(HTTPRequest.Method(method.uppercased())),
                        path: path,
                        success: try #require(Int(success.key)),
                        schema: content?["application/json"]?["schema"] as? [String: Any],
                        mediaTypes: Set((content ?? [:]).keys),
                        needsLogin: (operation["security"] as? [[String: Any]])?.allSatisfy { !$0.isEmpty } == true
                            && (operation["security"] as? [Any])?.isEmpty == false,
                        takesBody: operation["requestBody"] != nil
                    )
                )
            }
        }
        return found
    }

    private static func login(_ name: String, _ secret: String) -> HTTPFields {
        [
            .authorization: "Basic " + Data("\(name):\(secret)".utf8).base64EncodedString(),
            .contentType: "application/json",
        ]
    }

    /// A call of every operation, in an order in which each finds what it needs.
    private static func script(upstream: String, digest: String) -> [(id: String, path: String, body: String?)] {
        let tag = "repository/up/a%2Fb/tag/t"
        return [
            ("getDiscovery", "discovery", nil), ("getUser", "user", nil),
            ("createOrganization", "organization", #"{"name":"team"}"#),
            ("listOrganizations", "organization?limit=1", nil), ("getOrganization", "organization/team", nil),
            ("changeOrganization", "organization/team", #"{"time_machine_s":60,"public_pull":false}"#),
            (
                "validateProxyCache", "organization/team/validateproxycache",
                #"{"upstream_registry":"\#(upstream)","insecure":true}"#
            ),
            (
                "createProxyCache", "organization/team/proxycache",
                #"{"upstream_registry":"\#(upstream)","insecure":true}"#
            ),
            ("changeProxyCache", "organization/team/proxycache", #"{"freshness_s":5}"#),
            ("getProxyCache", "organization/team/proxycache", nil),
            ("deleteProxyCache", "organization/team/proxycache", nil),
            ("createUser", "superuser/users", #"{"username":"eva"}"#), ("listUsers", "superuser/users", nil),
            ("getUserByName", "superuser/users/eva", nil),
            ("changeUser", "superuser/users/eva", #"{"enabled":false}"#),
            ("setMember", "organization/team/members/eva", #"{"role":"member"}"#),
            ("listMembers", "organization/team/members", nil), ("getMember", "organization/team/members/eva", nil),
            ("removeMember", "organization/team/members/eva", nil), ("deleteUser", "superuser/users/eva", nil),
            ("createRobot", "organization/team/robots/ci", "{}"), ("listRobots", "organization/team/robots", nil),
            ("getRobot", "organization/team/robots/ci", nil),
            ("regenerateRobotToken", "organization/team/robots/ci/regenerate", nil),
            ("createRobotToken", "organization/team/robots/ci/tokens", #"{"expires_s":60}"#),
            ("listRobotTokens", "organization/team/robots/ci/tokens", nil),
            ("revokeRobotToken", "organization/team/robots/ci/tokens/{robotToken}", nil),
            ("deleteRobot", "organization/team/robots/ci", nil),
            ("createQuota", "organization/team/quota", #"{"limit":"10GiB"}"#),
            ("listQuotas", "organization/team/quota", nil), ("getQuota", "organization/team/quota/{quota}", nil),
            ("changeQuota", "organization/team/quota/{quota}", #"{"limit_bytes":5000}"#),
            (
                "createQuotaLimit", "organization/team/quota/{quota}/limit",
                #"{"type":"warning","threshold_percent":80}"#
            ), ("listQuotaLimits", "organization/team/quota/{quota}/limit", nil),
            ("getQuotaLimit", "organization/team/quota/{quota}/limit/{limit}", nil),
            (
                "changeQuotaLimit", "organization/team/quota/{quota}/limit/{limit}",
                #"{"type":"Reject","threshold_percent":90}"#
            ), ("deleteQuotaLimit", "organization/team/quota/{quota}/limit/{limit}", nil),
            ("deleteQuota", "organization/team/quota/{quota}", nil),
            ("listRepositories", "repository?namespace=up", nil), ("getRepository", "repository/up/a/b", nil),
            ("listTags", "repository/up/a/b/tag/", nil), ("getTag", tag, nil),
            ("changeTag", tag, #"{"expiration":4102444800,"pinned":true}"#),
            ("getTagHistory", tag + "/history", nil), ("deleteTag", tag, nil),
            ("restoreTag", tag + "/restore", #"{"manifest_digest":"\#(digest)"}"#),
            ("getManifest", "repository/up/a/b/manifest/\(digest)", nil),
            ("getManifestSecurity", "repository/up/a/b/manifest/\(digest)/security", nil),
            ("listOrganizationLogs", "organization/up/logs", nil),
            ("aggregateOrganizationLogs", "organization/up/aggregatelogs", nil),
            ("exportOrganizationLogs", "organization/up/exportlogs", nil),
            ("listRepositoryLogs", "repository/up/a/b/logs", nil),
            ("aggregateRepositoryLogs", "repository/up/a/b/aggregatelogs", nil),
            ("exportRepositoryLogs", "repository/up/a/b/exportlogs?format=csv", nil),
            ("listAllLogs", "superuser/logs?kind=pull_repo", nil),
            ("aggregateAllLogs", "superuser/aggregatelogs", nil), ("exportAllLogs", "superuser/exportlogs", nil),
            ("listOwnLogs", "user/logs?starttime=01/01/2026", nil),
            ("aggregateOwnLogs", "user/aggregatelogs", nil), ("exportOwnLogs", "user/exportlogs", nil),
            ("getStatistics", "organization/up/statistics", nil), ("listFetches", "organization/up/fetches", nil),
            ("getUsage", "organization/up/usage", nil), ("getCollection", "superuser/gc", nil),
            ("getScanOverview", "superuser/scan", nil), ("getStatus", "superuser/status", nil),
            ("diagnose", "superuser/doctor", nil),
            ("createToken", "user/apptoken", #"{"title":"x"}"#), ("listTokens", "user/apptoken", nil),
            ("getToken", "user/apptoken/{token}", nil), ("revokeToken", "user/apptoken/{token}", nil),
            ("deleteRepository", "repository/up/a/b", nil), ("deleteOrganization", "organization/team", nil),
            ("changePassword", "user", #"{"password":"quite another one"}"#),
        ]
    }

    @Test("every operation answers as the document says, and nothing else is in either")
    func everyOperation() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let registry = deployment.registry
                expectServed(try await registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                _ = try await deployment.operatorEnvironment()
                let operations = try await Self.operations(registry)
                let script = Self.script(upstream: upstream.host, digest: Self.image.digest.description)
                #expect(Set(script.map(\.id)) == Set(operations.map(\.id)))
                let headers = Self.login("admin", Deployment.operatorPassword)
                var names: [String: String] = [:]
                for step in script {
                    let operation = try #require(operations.first { $0.id == step.id })
                    let path = names.reduce(step.path) { $0.replacing("{\($1.key)}", with: $1.value) }
                    let answer = try await registry.send(
                        operation.method,
                        "/api/v1/" + path,
                        headers,
                        body: step.body.map { Array($0.utf8) }
                    )
                    #expect(answer.status == operation.success, "\(step.id): \(answer.text)")
                    let type = answer.headers[.contentType].map { String($0.prefix { $0 != ";" }) }
                    #expect(
                        type.map { operation.mediaTypes.contains($0) } ?? operation.mediaTypes.isEmpty,
                        "\(step.id)"
                    )
                    guard let schema = operation.schema else { continue }
                    let value = try JSONSerialization.jsonObject(with: Data(answer.body), options: .fragmentsAllowed)
                    #expect(SchemaCheck().complaints(value, schema) == [], "\(step.id): \(answer.text)")
                    Self.remember(step.id, value, in: &names)
                }
            }
        }
    }

    /// Ids that later steps need.
    private static func remember(_ id: String, _ value: Any, in names: inout [String: String]) {
        let object = (value as? [Any])?.first as? [String: Any] ?? value as? [String: Any] ?? [:]
        switch id {
        case "createRobotToken": names["robotToken"] = object["uuid"] as? String
        case "createToken": names["token"] = (object["token"] as? [String: Any])?["uuid"] as? String
        case "listQuotas": names["quota"] = (object["id"] as? Int).map(String.init)
        case "listQuotaLimits": names["limit"] = (object["id"] as? Int).map(String.init)
        default: break
        }
    }

    @Test("no other identity reaches anything of an organization over any route, nor learns whether it is there")
    func identities() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)", "other=\(upstream.url)"]) { deployment in
                let registry = deployment.registry
                expectServed(try await registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                for words in [
                    ["org", "access", "up", "private"], ["org", "access", "other", "private"],
                ] { try await deployment.entrepot(words) }
                for name in ["otto", "olga"] {
                    try await deployment.entrepot(["user", "add", name], password: Deployment.operatorPassword)
                }
                try await deployment.entrepot(["org", "member", "other", "olga", "admin"])
                let robot = try await deployment.entrepot(["robot", "token", "other", "ci"])
                let token = try #require(robot.split(separator: "\n").first { $0.hasPrefix("token ") }).dropFirst(6)
                let strangers: [HTTPFields] = [
                    Self.login("otto", Deployment.operatorPassword), Self.login("olga", Deployment.operatorPassword),
                    Self.login("other+ci", String(token)), [.authorization: "Bearer \(token)"],
                ]
                // Whatever names an organization, and whatever only superusers may.
                let closed = try await Self.operations(registry).filter { operation in
                    ["/api/v1/organization/", "/api/v1/repository", "/api/v1/superuser/"]
                        .contains { operation.path.hasPrefix($0) } || operation.id == "createOrganization"
                }
                #expect(closed.count > 50)
                for operation in closed {
                    func ask(_ organization: String, _ headers: HTTPFields) async throws -> TestClient.Answer {
                        var path =
                            operation.path == "/api/v1/repository"
                            ? "/api/v1/repository?namespace={orgname}" : operation.path
                        for (name, value) in [
                            ("orgname", organization), ("repository", "\(organization)/a/b"), ("tag", "t"),
                            ("digest", Self.image.digest.description), ("username", "admin"), ("membername", "otto"),
                            ("robot_shortname", "ci"), ("quota_id", "1"), ("limit_id", "1"), ("token_uuid", "1"),
                        ] { path = path.replacing("{\(name)}", with: value) }
                        return try await registry.send(
                            operation.method,
                            path,
                            headers,
                            body: operation.takesBody ? Array("{}".utf8) : nil
                        )
                    }
                    let nobody = try await ask("up", [:])
                    #expect(nobody.status == 401, "\(operation.id): \(nobody.text)")
                    #expect(try await ask("absent", [:]).body == nobody.body, "\(operation.id)")
                    for (number, headers) in strangers.enumerated() {
                        let got = try await ask("up", headers)
                        // A robot's token is for pulling: it manages nothing.
                        #expect(got.status == 403, "\(number) \(operation.id): \(got.text)")
                        let absent = try await ask("absent", headers)
                        #expect(absent.status == got.status && absent.body == got.body, "\(number) \(operation.id)")
                    }
                }
                let guesses = try await deployment.client.query("SELECT 1 FROM login_throttle WHERE failures > 0")
                #expect(guesses.isEmpty)
                #expect(try await deployment.client.query("SELECT 1 FROM tag WHERE lifetime_end_at IS NULL").count == 1)
            }
        }
    }

    @Test(
        "a fuzzer that knows the document finds no failure of the service and no answer that isn't as documented",
        .enabled(if: Schemathesis.path != nil, "schemathesis isn't installed; Tests/run installs it")
    )
    func fuzzed() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                let environment = try await deployment.operatorEnvironment()
                // It keeps a folder of its own wherever it runs.
                let process = try await TestProcess(
                    "/bin/sh",
                    [
                        "-c", #"cd "$1" && shift && exec "$@""#, "sh", deployment.storage.path,
                        try #require(Schemathesis.path), "run", deployment.registry.base + "/openapi.json",
                        "-H", "Authorization: Bearer \(environment["ENTREPOT_TOKEN"] ?? "")",
                        "--checks", Schemathesis.checks, "--phases", "coverage,fuzzing,stateful", "-n", "5",
                        "--seed", "1", "--request-timeout", "60", "--suppress-health-check", "all", "--no-color",
                    ]
                )
                let status = try await process.exitStatus(within: .seconds(600))
                #expect(status == 0, "\(process.lines.suffix(80).joined(separator: "\n"))")
                #expect(
                    process.lines.contains { $0.contains(" generated, ") && $0.hasSuffix(" passed") },
                    "\(process.lines.suffix(10))"
                )
            }
        }
    }
}

/// The fuzzer that Tests/run installs.
private enum Schemathesis {
    static let checks = [
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance", "unsupported_method",
    ].joined(separator: ",")

    /// Nil where it isn't installed.
    static let path: String? = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let path = root.appending(path: ".build/schemathesis/bin/schemathesis").path
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()
}
