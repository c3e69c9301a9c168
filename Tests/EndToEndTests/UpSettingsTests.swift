// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import OCI
import TestSupport
import Testing

/// What an operator may write for `entrepot up` and `entrepot migrate`, and what they say to the rest.
@Suite("entrepot's options")
struct UpSettingsTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    /// Runs the command to its end. It is killed if it doesn't come to one.
    private func run(
        _ words: [String],
        _ environment: [String: String] = [:]
    ) async throws -> (status: Int32, text: String) {
        let process = try await TestProcess(Executables.path("entrepot"), words, environment: environment)
        let status = try await process.exitStatus()
        return (status, process.lines.joined(separator: "\n"))
    }

    @Test(
        "a value that can't be used ends the start with status 2 and a message that names it",
        arguments: [
            (["--listen", "nowhere"], "nowhere"), (["--listen", "127.0.0.1:0"], "127.0.0.1:0"),
            (["--listen", "[::1]:65536"], "[::1]:65536"), (["--listen", "h:65535", "--frontends", "2"], "h:65535"),
            (["--proxy", "cache"], "cache"), (["--proxy", "=quay.io"], "=quay.io"), (["--proxy", "cache="], "cache="),
            (["--proxy", "Cache=quay.io"], "Cache=quay.io"), (["--proxy", "cache=ftp://h"], "ftp://h"),
            (["--proxy", "cache=user:pw@h"], "user:pw@h"), (["--proxy", "cache=h/UPPER"], "UPPER"),
            (["--allow-upstream", "no host"], "no host"), (["--allow-upstream", "10.0.0.0/33"], "10.0.0.0/33"),
            (["--frontends", "0"], "0"), (["--frontends", "65"], "65"), (["--frontends", "many"], "many"),
            (["--fetchers", "0"], "0"), (["--fetchers=-1"], "-1"), (["--fetchers", "two"], "two"),
            (["--data", ""], "DATA"), (["--config", "/nowhere/config.yaml"], "/nowhere/config.yaml"),
            (["--postgres", "localhost"], "DB_URI"), (["--nonsense"], "--nonsense"),
            (["nonsense"], "nonsense"),
        ] as [([String], String)]
    )
    func wrongOption(_ words: [String], _ name: String) async throws {
        let data = folder.path + "/data"
        let (status, text) = try await run(["up", "--data", data] + words)
        #expect(status == 2, "\(text)")
        #expect(text.contains(name), "\(text)")
        #expect(!FileManager.default.fileExists(atPath: data))
    }

    @Test(
        "so does a variable, by its own name",
        arguments: [
            ("ENTREPOT_LISTEN_ADDRESS", "nowhere"), ("LISTEN_ADDRESS", "nowhere"), ("FRONTENDS", "many"),
            ("ENTREPOT_FETCHERS", "0"), ("SSRF_ALLOWED_HOSTS", "a b"), ("LOG_LEVEL", "loud"),
            ("ENTREPOT_CONFIG", "/nowhere/config.yaml"), ("TLS_CERTIFICATE", "/nowhere/cert.pem"),
        ]
    )
    func wrongVariable(_ name: String, _ value: String) async throws {
        let (status, text) = try await run(["up", "--data", folder.path + "/data"], [name: value])
        #expect(status == 2, "\(text)")
        #expect(text.contains(value), "\(text)")
        if !value.hasPrefix("/") { #expect(text.contains("environment variable \(name)"), "\(text)") }
    }

    @Test(
        "so does a setting that only a service reads",
        arguments: [
            ("GC_GRACE", "-1s"), ("QUOTA_WEBHOOK_URL", "ftp://example.test"), ("LOG_RETENTION", "1h"),
            ("FETCHER_LEASE", "soon"),
        ]
    )
    func wrongServiceSetting(_ name: String, _ value: String) async throws {
        let port = try ClosedPort().port
        let words = ["up", "--data", folder.path + "/data", "--listen", "127.0.0.1:\(port)"]
        let (status, text) = try await run(words, [name: value])
        #expect(status == 2, "\(text)")
        #expect(text.contains(name), "\(text)")
    }

    @Test("help tells every option and ends well")
    func help() async throws {
        let (status, text) = try await run(["up", "--help"])
        #expect(status == 0)
        for option in ["data", "listen", "proxy", "allow-upstream", "postgres", "frontends", "fetchers", "config"] {
            #expect(text.contains("--\(option) "), "\(option)")
        }
        let general = try await run(["--help"])
        #expect(general.status == 0)
        for command in ["up", "migrate"] { #expect(general.text.contains("  \(command) "), "\(command)") }
    }

    @Test("a database that can't be reached ends the start with a message that says why, without a password")
    func unreachableDatabase() async throws {
        let closed = try ClosedPort()
        defer { withExtendedLifetime(closed) {} }
        let wrong = [
            ("postgresql://user:hunter2@127.0.0.1:\(closed.port)/db", "Connection refused"),
            ("host=/nowhere password=hunter2", "No such file or directory"),
        ]
        for (address, reason) in wrong {
            let listen = "127.0.0.1:\(try freePorts(1))"
            let (status, text) = try await run([
                "up", "--data", folder.path + "/data", "--listen", listen, "--postgres", address,
            ])
            #expect(status == 1, "\(text)")
            #expect(text.hasPrefix("entrepot: connect: "), "\(text)")
            #expect(text.contains(reason), "\(text)")
            #expect(!text.contains("hunter2"), "\(text)")
        }
    }

    @Test("an address that is in use ends the start at once, even if a registry answers there")
    func addressInUse() async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        try await ScriptedUpstream.with { other in
            let words = ["up", "--data", folder.path + "/data", "--listen", other.host, "--postgres", database]
            let (status, text) = try await run(words)
            #expect(status == 1)
            #expect(text.contains(other.host), "\(text)")
            #expect(text.contains("in use"), "\(text)")
            #expect(!text.contains("ready:"), "\(text)")
        }
    }

    @Test(
        "a settings file reaches every process, and options win over it"
    )
    func settingsFile() async throws {
        let config = folder.path + "/config.yaml"
        let image = ImageFixture.single(seed: 3, size: 1_000)
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "app", tag: "1")
            let text = """
                LOG_LEVEL: debug
                LOG_FORMAT: json
                FRONTENDS: 7
                SSRF_ALLOWED_HOSTS: [\(upstream.host)]
                DB_URI: \(try await PostgresCluster.shared().makeDatabase())
                """
            try text.write(toFile: config, atomically: false, encoding: .utf8)
            let up = try await RunningUp.start(
                data: folder.path + "/data",
                ["--config", config, "--frontends", "1", "--proxy", "cache=\(upstream.url)"]
            )
            #expect(try await up.registry.get("/v2/cache/app/manifests/1").status == 200)
            #expect(try up.processes(running: "registry-frontend").count == 1)
            for process in ["fetcher-1", "frontend-1"] {
                try await up.process.line(containing: "{\"process\":\"\(process)\",")
                let lines = up.process.lines.filter { $0.contains("\"process\":\"\(process)\"") }
                #expect(lines.contains { $0.contains("\"level\":\"debug\"") })
                for line in lines {
                    let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                    #expect(object?["process"] as? String == process && object?["service"] is String, "\(line)")
                }
            }
            #expect(try await up.process.stop() == 0)
            #expect(up.process.lines.contains { $0.contains("\"message\":\"stopped\"") })
        }
    }

    @Test("migrate brings a database up to date, and says when there is nothing to do")
    func migrate() async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        let (status, text) = try await run(["migrate", "--postgres", database])
        #expect(status == 0, "\(text)")
        #expect(text.contains("applied: initial"), "\(text)")
        let again = try await run(["migrate"], ["DB_URI": database])
        #expect(again.status == 0)
        #expect(again.text == "the schema is current")
    }

    @Test("migrate needs to be told which database, in words that are a connection string")
    func migrateNothing() async throws {
        let wrong = try await run(["migrate", "--postgres", "secret words"])
        #expect(
            wrong.status == 2 && wrong.text.contains("--postgres") && !wrong.text.contains("secret"),
            "\(wrong.text)"
        )
        let (status, text) = try await run(["migrate"], ["DB_URI": "", "PGHOST": folder.path])
        #expect(status == 2)
        #expect(text.contains("DB_URI"), "\(text)")
        #expect(text.contains("--postgres"), "\(text)")
    }
}
