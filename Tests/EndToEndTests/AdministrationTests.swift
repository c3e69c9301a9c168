// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// What administrators do, by the command line and the API.
@Suite struct AdministrationTests {
    private static let image = ImageFixture.single(seed: 1_300, size: 20_000)

    private struct Tag: Decodable, Equatable {
        let name: String, manifest_digest: String, size: Int64, state: String, pinned: Bool
        let last_pulled: String?, expiration: String?
    }

    private static func tags(_ words: [String], _ deployment: Deployment) async throws -> [Tag] {
        let text = try await deployment.entrepot(["tag"] + words + ["--json"])
        return try JSONDecoder().decode([Tag].self, from: Data(text.utf8))
    }

    @Test("a tag is listed with its facts, ended, revived, pinned, and given an end of its own")
    func tagLifetimes() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let registry = deployment.registry
                expectServed(try await registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                let before = try #require(try await Self.tags(["list", "up/a/b"], deployment).first)
                #expect(before.name == "t" && before.manifest_digest == Self.image.digest.description)
                #expect(
                    before.state == "fetching 0/2" && before.size == Self.image.blobs.reduce(0) { $0 + Int64($1.size) }
                )
                for blob in Self.image.blobs {
                    #expect(try await registry.get("/v2/up/a/b/blobs/\(blob.digest)").status == 200)
                }
                try await eventually("the image is complete, and its pull is known") {
                    let now = try await Self.tags(["list", "up/a/b"], deployment).first
                    return now?.state == "complete" && now?.last_pulled != nil
                }

                try await deployment.entrepot(["tag", "expire", "up/a/b:t", "2h"])
                let expiry = try await deployment.client.query(
                    "SELECT extract(epoch FROM expires_at - now())::float8 FROM tag"
                ).decodeFirst(Double.self)
                #expect((7_100.0...7_260.0).contains(try #require(expiry)))
                try await deployment.entrepot(["tag", "expire", "up/a/b:t", "never"])
                #expect(try await Self.tags(["list", "up/a/b"], deployment)[0].expiration == nil)
                try await deployment.entrepot(["tag", "pin", "up/a/b:t"])
                #expect(try await Self.tags(["list", "up/a/b"], deployment)[0].pinned)
                try await deployment.entrepot(["tag", "unpin", "up/a/b:t"])
                #expect(try await !Self.tags(["list", "up/a/b"], deployment)[0].pinned)

                try await deployment.entrepot(["tag", "remove", "up/a/b:t"])
                #expect(try await Self.tags(["list", "up/a/b"], deployment).isEmpty)
                let ended = try await Self.tags(["history", "up/a/b:t"], deployment)
                #expect(ended.map(\.state) == ["deleted"])
                let revived = try await deployment.entrepot(["tag", "revive", "up/a/b:t"])
                #expect(revived == Self.image.digest.description)
                #expect(
                    try await Self.tags(["list", "up/a/b", "--all"], deployment).map(\.state) == [
                        "complete", "deleted",
                    ]
                )
                upstream.fault("/v2/", .answer(500, [:], []))
                expectServed(try await registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)

                try await deployment.entrepot(["org", "time-machine", "up", "0s"])
                try await deployment.entrepot(["tag", "remove", "up/a/b:t"])
                let late = try await deployment.startEntrepot(["tag", "revive", "up/a/b:t"])
                #expect(try await late.exitStatus() == 3)
                #expect(late.lines.last?.contains("time machine") == true)
                let kinds = try await deployment.client.query(
                    "SELECT kind FROM log_entry WHERE repository = 'a/b' AND account = 'admin' ORDER BY at, id"
                ).decode(String.self)
                #expect(
                    kinds == [
                        "change_tag_expiration", "change_tag_expiration", "pin_tag", "unpin_tag", "delete_tag",
                        "revert_tag", "delete_tag",
                    ]
                )
            }
        }
    }

    @Test("lists come in pages that can be followed to their end, and a cursor that no page said is refused")
    func pages() async throws {
        try await ScriptedUpstream.with { upstream in
            for number in 0..<7 { upstream.add(Self.image, to: "r\(number)", tag: "t") }
            for number in 0..<4 { upstream.add(Self.image, to: "r0", tag: "t\(number)") }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let registry = deployment.registry
                for number in 0..<7 { #expect(try await registry.get("/v2/up/r\(number)/manifests/t").status == 200) }
                for number in 0..<4 { #expect(try await registry.get("/v2/up/r0/manifests/t\(number)").status == 200) }
                func names(_ path: String, _ list: String) async throws -> [String] {
                    var found: [String] = []
                    var cursor: String?
                    repeat {
                        let next = cursor.map { "&next_page=\($0)" } ?? ""
                        let answer = try await registry.get("/api/v1/\(path)limit=3\(next)")
                        let page = try #require(
                            try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
                        )
                        let entries = try #require(page[list] as? [[String: Any]], "\(answer.text)")
                        #expect(entries.count <= 3)
                        found += entries.compactMap { $0["name"] as? String }
                        cursor = page["next_page"] as? String
                    } while cursor != nil && found.count < 50
                    return found
                }
                #expect(try await names("repository?namespace=up&", "repositories") == (0..<7).map { "r\($0)" })
                #expect(try await names("repository/up/r0/tag?", "tags") == ["t", "t0", "t1", "t2", "t3"])
                let second = try await registry.get("/api/v1/repository/up/r0/tag/?limit=2&page=2")
                #expect(
                    second.text.contains(#""has_additional":true,"next_page""#) && second.text.contains(#""name":"t1""#)
                )
                for cursor in ["x", "WyJ0Il0", "!!"] {
                    #expect(try await registry.get("/api/v1/repository/up/r0/tag?next_page=\(cursor)").status == 400)
                }
            }
        }
    }

    @Test("pulls, what was served and what was fetched for it are counted by organization")
    func statistics() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)", "other=\(upstream.url)"], frontends: 2) { deployment in
                let registry = deployment.registry
                for client in deployment.clients {
                    expectServed(try await client.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                    for blob in Self.image.blobs {
                        #expect(try await client.get("/v2/up/a/b/blobs/\(blob.digest)").status == 200)
                    }
                }
                #expect(try await registry.get("/v2/up/a/b/manifests/absent").status == 404)
                struct Numbers: Decodable, Equatable {
                    let hits: Int, revalidated: Int, misses: Int, errors: Int, blob_pulls: Int
                    let served_bytes: Int, upstream_bytes: Int, bytes_saved: Int, upstream_requests: Int
                }
                struct Report: Decodable { let total: Numbers, days: [Numbers] }
                let blobs = Self.image.blobs.reduce(0) { $0 + Int64($1.size) }
                let size = Int(blobs) + Self.image.bytes.count
                try await eventually("all is counted") {
                    let text = try await deployment.entrepot(["org", "stats", "up", "--json"])
                    let report = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
                    return report.total
                        == Numbers(
                            hits: 0,
                            revalidated: 1,
                            misses: 1,
                            errors: 1,
                            blob_pulls: 4,
                            served_bytes: 2 * size,
                            upstream_bytes: size,
                            bytes_saved: size,
                            upstream_requests: upstream.requests.count
                        ) && report.days.reduce(0) { $0 + $1.served_bytes } == report.total.served_bytes
                }
                #expect(try await deployment.entrepot(["org", "stats", "other"]).contains("total  0"))
            }
        }
    }

    @Test("doctor says what is in order, and of an upstream that fails what to do")
    func doctor() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                var well = ""
                // Clocks are compared to half of a round trip's time.
                try await eventually("the clocks can be compared") {
                    well = try await deployment.entrepot(["doctor"])
                    return well.contains("ok       clock frontend")
                }
                for check in ["database PostgreSQL", "clock frontend", "storage /", "queue manifests", "upstream up"] {
                    #expect(well.contains("ok       \(check)"), "\(well)")
                }
                upstream.fault("/v2/", .answer(503, [:], []))
                let ill = try await deployment.startEntrepot(["doctor"])
                #expect(try await ill.exitStatus() == 1)
                #expect(
                    ill.lines.contains { $0.hasPrefix("PROBLEM  upstream up: ") && $0.contains("503") },
                    "\(ill.lines)"
                )
                #expect(ill.lines.contains { $0.contains("-> ") })
            }
        }
    }

    @Test("a configuration is tried out by a fetcher: with what is given, and with what is stored")
    func validation() async throws {
        let work = try TemporaryDirectory()
        try await run(try Executables.path("entrepot"), ["key", "new", work.path + "/key"])
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            var bearer = ScriptedUpstream.Bearer()
            bearer.basic = "Basic " + Data("robot:right".utf8).base64EncodedString()
            upstream.requireBearer(bearer)
            let keys = ["ENTREPOT_FETCHER_KEY_FILES": work.path + "/key"]
            try await Deployment.with(["up=\(upstream.url)"], environment: keys) { deployment in
                func check(_ words: [String], password: String? = nil) async throws -> (status: Int32, text: String) {
                    let process = try await deployment.startEntrepot(
                        ["proxy", "check", "up"] + words,
                        password: password
                    )
                    return (try await process.exitStatus(), process.lines.joined(separator: "\n"))
                }
                #expect(try await check([]).text == "valid, without a login")
                #expect(try await check(["--username", "robot"], password: "right").text == "valid")
                let wrong = try await check(["--username", "robot"], password: "wrong")
                #expect(wrong.status == 2 && wrong.text.contains("Failed login to remote registry."), "\(wrong)")
                try await deployment.entrepot(["proxy", "credentials", "up", "--username", "robot"], password: "right")
                #expect(try await check([]).text == "valid", "with what is stored")
                #expect(try await deployment.entrepot(["proxy", "show", "up"]).contains(#""has_credentials" : true"#))
                let closed = try ClosedPort()
                defer { withExtendedLifetime(closed) {} }
                let nowhere = try await check(["http://127.0.0.1:\(closed.port)"])
                #expect(nowhere.status == 2 && nowhere.text.contains("Failed to validate Proxy cache configuration"))
                try await deployment.entrepot(["proxy", "credentials", "up", "--clear"])
                #expect(try await check([]).text == "valid, without a login")
                #expect(try await !deployment.dump().contains("wrong"))
            }
        }
    }

    @Test("a login elsewhere keeps a token that only its owner can read, and ends it")
    func login() async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            let operatorsOwn = try await deployment.operatorEnvironment()
            let home = deployment.storage.path + "/home"
            let file = deployment.storage.path + "/password"
            try Deployment.operatorPassword.write(toFile: file, atomically: true, encoding: .utf8)
            func entrepot(_ words: [String]) async throws -> (status: Int32, text: String) {
                let process = try await TestProcess(
                    Executables.path("entrepot"),
                    words,
                    environment: ["XDG_CONFIG_HOME": home, "ENTREPOT_DATA": home + "/none"]
                )
                return (try await process.exitStatus(), process.lines.joined(separator: "\n"))
            }
            let url = try #require(operatorsOwn["ENTREPOT_URL"])
            #expect(try await entrepot(["user", "whoami"]).status == 2, "nobody has logged in")
            let made = try await entrepot(["login", url, "--username", "admin", "--password-file", file])
            #expect(made.status == 0, "\(made)")
            let kept = home + "/entrepot/login.json"
            #expect(try permissions(of: kept) == 0o600)
            #expect(try await entrepot(["user", "whoami"]).text.contains(#""username" : "admin""#))
            #expect(try await entrepot(["org", "show", "absent"]).status == 3)
            let token = try String(contentsOfFile: kept, encoding: .utf8)
            #expect(try await entrepot(["logout"]).status == 0)
            #expect(!FileManager.default.fileExists(atPath: kept))
            try token.write(toFile: kept, atomically: true, encoding: .utf8)
            #expect(try await entrepot(["user", "whoami"]).status == 4, "the token is worthless")
            let closed = try ClosedPort()
            defer { withExtendedLifetime(closed) {} }
            let nobody = try await entrepot(
                ["login", "http://127.0.0.1:\(closed.port)", "--username", "admin", "--password-file", file]
            )
            #expect(nobody.status == 5, "\(nobody)")
        }
    }
}
