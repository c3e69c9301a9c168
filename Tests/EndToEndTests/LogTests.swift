// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import Synchronization
import TestSupport
import Testing

/// Every pull is a row.
@Suite struct LogTests {
    private struct Line: Decodable {
        let kind: String, organization: String?, repository: String?, tag: String?, digest: String?
        let media_type: String?, outcome: String?, status: Int?, bytes: Int64?, duration_us: Int64?
        let is_head: Bool?, address: String?, user_agent: String?, upstream: String?, metadata: [String: String]?
    }

    private final class Answered: Sendable {
        private let state = Atomic(2)
        var count: Int { state.load(ordering: .relaxed) }
        func add() { state.add(1, ordering: .relaxed) }
    }

    private static let image = ImageFixture.single(seed: 1_001, size: 10_000)
    private static let path = "/v2/up/a/b/manifests/t"

    private static func logs(_ words: [String], _ deployment: Deployment) async throws -> String {
        try await deployment.entrepot(["logs"] + words)
    }

    private static func lines(_ words: [String], _ deployment: Deployment) async throws -> [Line] {
        try await logs(words + ["--json"], deployment).split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8))
        }
    }

    @Test("each way in which a pull can go is in the log with its facts, HEAD and failures included")
    func outcomes() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                let registry = deployment.registry
                #expect(try await registry.get(Self.path).status == 200)
                #expect(try await registry.head(Self.path).status == 200)
                #expect(try await deployment.clients[1].get("/v2/up/a/b/manifests/\(Self.image.digest)").status == 200)
                #expect(try await registry.get("/v2/up/a/b/manifests/absent").status == 404)
                upstream.fault("/v2/", .answer(500, [:], []))
                #expect(try await registry.get(Self.path).status == 200)

                let lines = try await Self.lines(["up"], deployment)
                #expect(lines.map(\.outcome) == ["stale", "error", "hit", "revalidated", "miss"])
                #expect(
                    lines.map(\.kind) == ["pull_repo", "pull_repo_failed"] + [String](repeating: "pull_repo", count: 3)
                )
                #expect(lines.map(\.is_head) == [false, false, false, true, false])
                #expect(lines.map(\.tag) == ["t", "absent", nil, "t", "t"])
                #expect(lines.map(\.status) == [200, 404, 200, 200, 200])
                #expect(lines[1].metadata?["reason"]?.contains("doesn't have manifest absent") == true)
                let miss = try #require(lines.last)
                #expect(miss.organization == "up" && miss.repository == "a/b")
                #expect(miss.digest == Self.image.digest.description && miss.media_type == Self.image.mediaType)
                #expect(miss.bytes == Int64(Self.image.bytes.count) && lines[3].bytes == 0)
                #expect(miss.address == "127.0.0.1" && miss.user_agent == "entrepot-tests")
                #expect((miss.duration_us ?? 0) > 0 && miss.upstream?.contains(upstream.host) == true)

                #expect(try await Self.lines(["up", "--outcome", "hit"], deployment).count == 1)
                #expect(try await Self.lines(["--kind", "pull_repo_failed"], deployment).count == 1)
                #expect(try await Self.lines(["up", "--limit", "2"], deployment).map(\.outcome) == ["stale", "error"])
                #expect(try await Self.lines(["--since", "2999-01-01T00:00:00Z"], deployment).isEmpty)
                let csv = try await Self.logs(["up", "--csv"], deployment).split(separator: "\n")
                #expect(csv.count == 6 && csv[0].hasPrefix("at,kind,organization"))
                #expect(try await Self.logs(["up"], deployment).contains("up/a/b:absent"))
                let wrong = try await deployment.startEntrepot(["logs", "--outcome", "x"])
                #expect(try await wrong.exitStatus() == 2)
            }
        }
    }

    @Test("a frontend that is killed in the middle of many pulls has logged each one that it has answered")
    func killed() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2) { deployment in
                let path = "/v2/up/a/b/manifests/\(Self.image.digest)"
                for client in deployment.clients { #expect(try await client.get(path).status == 200) }
                let answered = Answered()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<16 {
                        let client = deployment.clients[number % 2]
                        group.addTask {
                            for _ in 0..<100 {
                                // Cut off when its frontend dies: not answered.
                                guard let got = try? await client.get(path), got.failure == nil else { return }
                                #expect(got.status == 200)
                                answered.add()
                            }
                        }
                    }
                    group.addTask {
                        try await eventually("many are answered", within: .seconds(300)) { answered.count >= 400 }
                        deployment.frontends[0].kill(SIGKILL)
                    }
                    try await group.waitForAll()
                }
                let rows = try await deployment.client.query("SELECT count(*) FROM log_entry WHERE kind = 'pull_repo'")
                    .decodeFirst(Int.self)
                let count = answered.count
                #expect(count >= 800, "the other frontend goes on")
                #expect((rows ?? 0) >= count, "\(count) answered, \(rows ?? 0) logged")
            }
        }
    }

    @Test("without its log a pull is refused, unless the operator says that it may go on")
    func strictness() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            for (isRelaxed, status) in [(false, 503), (true, 200)] {
                let environment = ["ENTREPOT_ALLOW_PULLS_WITHOUT_STRICT_LOGGING": "\(isRelaxed)"]
                try await Deployment.with(["up=\(upstream.url)"], environment: environment) { deployment in
                    let path = "/v2/up/a/b/manifests/\(Self.image.digest)"
                    #expect(try await deployment.registry.get(Self.path).status == 200)
                    #expect(try await deployment.registry.get(path).status == 200)
                    try await deployment.client.query("ALTER TABLE log_entry RENAME TO log_elsewhere")
                    #expect(try await deployment.registry.get(path).status == status)
                    try await deployment.client.query("ALTER TABLE log_elsewhere RENAME TO log_entry")
                    #expect(try await deployment.registry.get(path).status == 200)
                    try await eventually("what was served is written down once it can be") {
                        let rows = try await deployment.client.query("SELECT count(*) FROM log_entry")
                            .decodeFirst(Int.self)
                        return rows == (isRelaxed ? 4 : 3)
                    }
                }
            }
        }
    }

    @Test("a cursor that no page said and a time that nothing has are refused by their names, in lists and exports")
    func wrongPlaces() async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            let token = try await deployment.operatorEnvironment()["ENTREPOT_TOKEN"] ?? ""
            func expectRefusal(_ path: String, _ name: String, _ value: String) async throws {
                let answer = try await deployment.registry.get(
                    "/api/v1/\(path)?\(name)=\(value)",
                    [.authorization: "Bearer \(token)"]
                )
                #expect(answer.status == 400 && answer.text.contains(name), "\(path) \(value): \(answer.text)")
            }
            for end in [#"["nan","1"]"#, #"["inf","1"]"#, #"["1e13","1"]"#, #"["-1e18","1"]"#] {
                let cursor = Data(end.utf8).base64EncodedString().replacing("=", with: "")
                try await expectRefusal("organization/up/logs", "next_page", cursor)
            }
            for list in ["logs", "aggregatelogs", "exportlogs"] {
                for name in ["starttime", "endtime"] {
                    try await expectRefusal("organization/up/" + list, name, "294277-12-31T00:00:00Z")
                    try await expectRefusal("superuser/" + list, name, "10000-01-01T00:00:00Z")
                }
            }
        }
    }

    @Test("failed logins and changes are in the log, passwords aren't")
    func events() async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"]) { deployment in
            try await deployment.entrepot(["org", "access", "up", "private"])
            let robot = try await deployment.entrepot(["robot", "token", "up", "ci"])
            let basic = "Basic " + Data("up+ci:not the token".utf8).base64EncodedString()
            #expect(try await deployment.registry.get("/v2/auth", [.authorization: basic]).status == 401)
            let lines = try await Self.lines([], deployment)
            #expect(
                lines.map(\.kind) == [
                    "login_failure", "create_robot", "org_change_visibility", "create_app_specific_token",
                ]
            )
            #expect(lines[0].metadata == ["account": "up+ci"] && lines[0].address == "127.0.0.1")
            let dump = try await deployment.dump()
            #expect(!dump.contains("not the token"))
            let token = try #require(robot.split(separator: "\n").first { $0.hasPrefix("token ") }).dropFirst(6)
            #expect(!dump.contains(token))
        }
    }
}
