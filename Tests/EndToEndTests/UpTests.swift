// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import HTTPTypes
import OCI
import TestSupport
import Testing

/// What an operator sees of `entrepot up`: that it serves, ends, survives and leaves nothing behind.
@Suite("entrepot up", .serialized)
struct UpTests {
    private static let image = ImageFixture.single(seed: 7, size: 300_000)

    private let folder: TemporaryDirectory
    private var data: String { folder.path + "/data" }

    init() throws { folder = try TemporaryDirectory() }

    private func proxy(_ upstream: ScriptedUpstream) -> [String] {
        ["--proxy", "cache=\(upstream.url)", "--allow-upstream", "127.0.0.1"]
    }

    /// Pulls the image as a client does, and checks every byte. Returns the manifest's answer.
    @discardableResult
    private func pull(
        _ image: ImageFixture = image,
        _ name: String = "cache/app/web",
        tag: String = "1",
        from registry: TestClient
    ) async throws -> TestClient.Answer {
        let manifest = try await registry.get("/v2/\(name)/manifests/\(tag)")
        #expect(manifest.status == 200, "\(manifest.text)")
        #expect(manifest.body == image.bytes)
        for blob in image.blobs {
            let got = try await registry.digest("/v2/\(name)/blobs/\(blob.digest)")
            #expect(got.status == 200)
            #expect(got.digest == blob.digest)
            #expect(got.size == blob.size)
        }
        return manifest
    }

    @Test("it serves what it proxies, ends at a signal without a trace, and serves what it has when upstream is gone")
    func life() async throws {
        let warning = try #require(HTTPField.Name("Warning"))
        let options = try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app/web", tag: "1")
            let up = try await RunningUp.start(data: data, proxy(upstream))
            try await up.process.line(
                containing: "try:   skopeo inspect --tls-verify=false docker://127.0.0.1:\(up.port)/"
            )
            #expect(up.process.lines.contains("organization cache proxies \(upstream.url)"))
            #expect(!up.process.lines.contains { $0.contains("docker.io") }, "defaults beside what was asked for")
            let manifest = try await pull(from: up.registry)
            #expect(manifest.headers[warning] == nil)
            // Clients have the last byte before a file is durable.
            try await eventually("what was pulled is stored") {
                try FileManager.default.contentsOfDirectory(atPath: data + "/storage/partials").isEmpty
            }
            #expect(try await up.process.stop(SIGTERM) == 0)
            #expect(try up.processes.isEmpty)
            return proxy(upstream)
        }
        let up = try await RunningUp.start(data: data, Array(options.suffix(2)))
        #expect(up.process.lines.filter { $0.hasPrefix("organization ") }.count == 1)
        let manifest = try await pull(from: up.registry)
        #expect(manifest.headers[warning]?.hasPrefix("299 - \"served from cache") == true)
        #expect(try await up.process.stop(SIGINT) == 0)
        #expect(try up.processes.isEmpty)
    }

    @Test(
        "a signal while it starts ends it, without a complaint and without a trace",
        arguments: ["making a database cluster", "schema brought up to date", "\"process\":\"fetcher-1\""]
    )
    func interruptedStart(_ line: String) async throws {
        let arguments = ["up", "--data", data, "--listen", "127.0.0.1:\(try freePorts(1))"]
        let process = try await TestProcess(
            Executables.path("entrepot"),
            arguments,
            environment: ["ENTREPOT_LOG_FORMAT": "json"]
        )
        try await process.line(containing: line)
        #expect(try await process.stop(SIGINT) == 0, "\(process.lines)")
        #expect(process.lines.last?.contains("\"stopped\"") == true, "\(process.lines.last ?? "")")
        #expect(try RunningUp.processes(of: data).isEmpty)
    }

    @Test("whatever is killed comes back and pulls go on; when it is killed itself, all end and can be started again")
    func kills() async throws {
        try await ScriptedUpstream.with { upstream in
            let up = try await RunningUp.start(data: data, proxy(upstream))
            for (number, program) in ["upstream-fetcher", "registry-frontend", "postgres"].enumerated() {
                let victim = try #require(try up.processes(running: program).first, "no \(program)")
                #expect(kill(victim, SIGKILL) == 0)
                try await eventually("\(program) comes back") {
                    try !up.processes(running: program).subtracting([victim]).isEmpty
                }
                let image = ImageFixture.single(seed: UInt64(number), size: 50_000)
                upstream.add(image, to: "app/\(program)", tag: "1")
                try await eventually("a pull succeeds after the death of \(program)") {
                    // Refused connections are part of the game until the frontend is back.
                    let answer = try? await up.registry.get("/v2/cache/app/\(program)/manifests/1")
                    return answer?.status == 200
                }
                try await pull(image, "cache/app/\(program)", from: up.registry)
            }
            #expect(try await up.process.stop(SIGKILL) == -SIGKILL)
            try await eventually("everything has ended") { try up.processes.isEmpty }
            let again = try await RunningUp.start(data: data)
            #expect(try await again.registry.get("/v2/").status == 401)
            #expect(try await again.process.stop() == 0)
        }
    }

    private func login(_ name: String, _ password: String, at registry: TestClient) async throws -> Int {
        let basic = "Basic " + Data("\(name):\(password)".utf8).base64EncodedString()
        return try await registry.get("/v2/auth", [.authorization: basic]).status
    }

    @Test("a first start makes a superuser and shows its password once; what is made on a loopback address is for all")
    func superuser() async throws {
        let first = try await RunningUp.start(data: data, ["--proxy", "cache=http://127.0.0.1:9"])
        let line = try #require(first.process.lines.first { $0.hasPrefix("superuser admin, password ") })
        let password = String(line.split(separator: " ")[3])
        #expect(try await login("admin", password, at: first.registry) == 200)
        #expect(first.process.lines.contains { $0.contains("public=[cache]") })
        #expect(try await first.registry.get("/v2/cache/a/manifests/t").status == 502, "everybody may ask")
        #expect(try await first.process.stop() == 0)
        let second = try await RunningUp.start(data: data)
        #expect(!second.process.lines.contains { $0.contains("superuser") })
        #expect(try await login("admin", password, at: second.registry) == 200)
        #expect(try await second.process.stop() == 0)
    }

    @Test("what is made where others reach it is private, and the superuser's password can be given")
    func reachable() async throws {
        let port = try freePorts(1)
        let up = try await TestProcess(
            try Executables.path("entrepot"),
            ["up", "--data", data, "--listen", "0.0.0.0:\(port)", "--proxy", "cache=http://127.0.0.1:9"],
            environment: ["ENTREPOT_ADMIN_PASSWORD": "a chosen password"]
        )
        try await up.line(containing: "ready: ")
        let registry = TestClient("http://127.0.0.1:\(port)")
        #expect(try await registry.get("/v2/cache/a/manifests/t").status == 401)
        #expect(try await login("admin", "a chosen password", at: registry) == 200)
        #expect(!up.lines.contains { $0.contains("a chosen password") })
        #expect(try await up.stop() == 0)
    }

    @Test("an ordinary user can run it", .enabled(if: geteuid() == 0, "only root can become somebody else"))
    func ordinaryUser() async throws {
        #expect(chown(folder.path, 65_534, 65_534) == 0)
        let user = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app/web", tag: "1")
            let up = try await RunningUp.start(
                data: data,
                proxy(upstream),
                prefix: user,
                program: try await reachableProgram()
            )
            try await pull(from: up.registry)
            for id in try up.processes.keys {
                // One of PostgreSQL's that has ended meanwhile has nobody's.
                guard let status = try? String(contentsOfFile: "/proc/\(id)/status", encoding: .utf8) else { continue }
                #expect(status.contains("Uid:\t65534\t65534\t65534\t65534"), "process \(id)")
            }
            #expect(try await up.process.stop() == 0)
            #expect(try up.processes.isEmpty)
        }
    }

    /// The executable, or a copy of it and its companions where everybody can reach them.
    private func reachableProgram() async throws -> String {
        let built = URL(filePath: try Executables.path("entrepot"))
        var place = built.deletingLastPathComponent()
        var isReachable = true
        while place.path != "/" {
            let mode = try FileManager.default.attributesOfItem(atPath: place.path)[.posixPermissions] as? Int
            isReachable = isReachable && (mode ?? 0) & 0o001 != 0
            place = place.deletingLastPathComponent()
        }
        if isReachable { return built.path }
        for program in ["entrepot", "registry-frontend", "upstream-fetcher", "quota-pruner", "garbage-collector"] {
            let copy = "\(folder.path)/\(program)"
            try await run("cp", [try Executables.path(program), copy])
            #expect(chmod(copy, 0o755) == 0)
        }
        return folder.path + "/entrepot"
    }

    @Test(
        "several frontends take consecutive ports of one cache on a server that was there before, used by one `up` only"
    )
    func several() async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app/web", tag: "1")
            let up = try await RunningUp.start(
                data: data,
                proxy(upstream) + ["--frontends", "2", "--fetchers", "2", "--postgres", database],
                frontends: 2,
                environment: ["ENTREPOT_FETCHER_LEASE": "20s"]
            )
            #expect(try up.processes(running: "registry-frontend").count == 2)
            #expect(try up.processes(running: "upstream-fetcher").count == 2)
            #expect(try up.processes(running: "postgres").isEmpty)
            try await pull(from: up.registry)
            try await pull(from: TestClient("http://127.0.0.1:\(up.port + 1)"))
            #expect(upstream.count("GET /v2/app/web/blobs/") == Self.image.blobs.count)

            let arguments = ["up", "--data", data, "--listen", "127.0.0.1:\(try freePorts(1))"]
            let second = try await TestProcess(Executables.path("entrepot"), arguments)
            #expect(try await second.exitStatus() == 1)
            #expect(second.lines == ["entrepot: data folder \(data) is in use by another `entrepot up`"])
            #expect(try await up.process.stop() == 0)
            #expect(try up.processes.isEmpty)
        }
    }

    @Test("an upstream on a private address is refused unless it was allowed, in an error that says so")
    func privateUpstream() async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app/web", tag: "1")
            let up = try await RunningUp.start(
                data: data,
                ["--proxy", "cache=\(upstream.url)", "--postgres", database]
            )
            let answer = try await up.registry.get("/v2/cache/app/web/manifests/1")
            #expect(answer.status == 502)
            #expect(answer.errorCode == "UNAVAILABLE")
            #expect(answer.text.contains("127.0.0.1, which isn't allowed"), "\(answer.text)")
            #expect(upstream.requests.isEmpty)
            #expect(try await up.process.stop() == 0)
        }
    }

    @Test("a first start that names no upstream proxies the well-known registries, a later one what there is")
    func defaults() async throws {
        let arguments = ["--postgres", try await PostgresCluster.shared().makeDatabase()]
        let up = try await RunningUp.start(data: data, arguments)
        try await up.process.line(
            containing: "try:   podman pull --tls-verify=false 127.0.0.1:\(up.port)/docker/library/alpine:latest"
        )
        let known = ["docker.io", "gcr.io", "ghcr.io", "mcr.microsoft.com", "quay.io", "registry.k8s.io"]
        let lines = up.process.lines.filter { $0.hasPrefix("organization ") }
        #expect(lines.compactMap { $0.split(separator: " ").last }.map(String.init).sorted() == known)
        #expect(try await up.process.stop() == 0)

        let again = try await RunningUp.start(data: data, arguments + ["--proxy", "mine=example.com/team"])
        let more = again.process.lines.filter { $0.hasPrefix("organization ") }
        #expect(Set(more) == Set(lines + ["organization mine proxies example.com/team"]))
        #expect(try await again.process.stop() == 0)
    }
}
