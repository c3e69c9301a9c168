// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// Credentials from the command line to the upstream, and nowhere else.
@Suite struct CredentialTests {
    private static let password = "c4n4ry-pass/word=="
    private static let username = "c4n4ry-robot"
    private static let basic = "Basic " + Data("\(username):\(password)".utf8).base64EncodedString()
    private static let image = ImageFixture.image(layers: [.text("private layer")])

    private static func makeKey(in folder: TemporaryDirectory, _ name: String) async throws -> String {
        let file = "\(folder.path)/\(name)"
        try await run(Executables.path("entrepot"), ["key", "new", file])
        return file
    }

    private static func setCredentials(_ deployment: Deployment, _ folder: TemporaryDirectory) async throws {
        let file = folder.path + "/password"
        try Data((password + "\n").utf8).write(to: URL(filePath: file))
        let output = try await deployment.entrepot(
            ["proxy", "credentials", "up", "--username", username, "--password-file", file]
        )
        #expect(output == "credentials sealed")
        try await deployment.heard()
    }

    /// A deployment whose fetchers have a key, over an upstream that wants a token for the canary's credentials.
    private static func withPrivateUpstream(
        _ body: (ScriptedUpstream, Deployment, _ folder: TemporaryDirectory) async throws -> Void
    ) async throws {
        let folder = try TemporaryDirectory()
        let key = try await makeKey(in: folder, "key-1")
        #expect(try permissions(of: key) == 0o600)
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            var bearer = ScriptedUpstream.Bearer()
            bearer.basic = basic
            upstream.requireBearer(bearer)
            let environment = ["ENTREPOT_FETCHER_KEY_FILES": key]
            try await Deployment.with(["up=\(upstream.url)"], frontends: 2, fetchers: 2, environment: environment) {
                try await body(upstream, $0, folder)
            }
        }
    }

    @Test("a private image is pulled with the credentials, cached ones wait for no token, and new ones keep the cache")
    func privateImage() async throws {
        try await Self.withPrivateUpstream { upstream, deployment, folder in
            let path = "/v2/up/a/b/manifests/t"
            let refused = try await deployment.registry.get(path)
            #expect(refused.status == 403 && refused.errorCode == "DENIED", "\(refused.text)")
            try await Self.setCredentials(deployment, folder)
            expectServed(try await deployment.registry.get(path), Self.image.bytes)
            let blob = try await deployment.registry.get("/v2/up/a/b/blobs/\(Self.image.blobs[1].digest)")
            #expect(blob.text == "private layer")
            upstream.fault("/", .answer(500, [:], []))
            expectServed(
                try await deployment.registry.get("/v2/up/a/b/manifests/\(Self.image.digest)"),
                Self.image.bytes
            )
            upstream.clearFaults()
            try await deployment.forgetFailures()
            try await Self.setCredentials(deployment, folder)
            upstream.forgetRequests()
            expectServed(try await deployment.registry.get(path), Self.image.bytes)
            #expect(upstream.count("/token") == 1 && upstream.count("GET /v2/a/b/manifests") == 0)
        }
    }

    @Test("a change of the server, or one more token server, drops the credentials: nobody else is ever sent them")
    func elsewhere() async throws {
        try await Self.withPrivateUpstream { upstream, deployment, folder in
            func hasCredentials() async throws -> Bool {
                try await deployment.entrepot(["proxy", "show", "up"]).contains(#""has_credentials" : true"#)
            }
            try await Self.setCredentials(deployment, folder)
            try await deployment.entrepot(["proxy", "set", "up", upstream.url + "/a", "--freshness", "1m"])
            #expect(try await hasCredentials(), "a namespace is on the same server")
            let named = "http://localhost:\(upstream.port)"
            for words in [[named], [upstream.host], ["--realm-host", "tokens.example"]] {
                try await deployment.entrepot(["proxy", "set", "up"] + words)
                #expect(try await !hasCredentials(), "\(words)")
                try await deployment.entrepot(["proxy", "set", "up", upstream.url])
                try await Self.setCredentials(deployment, folder)
            }
            try await deployment.entrepot(
                ["proxy", "set", "up", named, "--username", Self.username],
                password: Self.password
            )
            #expect(try await hasCredentials(), "given again with the change")

            try await ScriptedUpstream.with { other in
                var bearer = ScriptedUpstream.Bearer()
                bearer.basic = Self.basic
                other.requireBearer(bearer)
                try await deployment.entrepot(["proxy", "set", "up", other.url])
                try await deployment.heard()
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 403)
                #expect(!other.requests.isEmpty)
                #expect(other.requests.allSatisfy { $0.headers[.authorization]?.hasPrefix("Basic") != true })
            }
        }
    }

    @Test("a new key takes over without a new password; a fetcher without the key says so")
    func rotation() async throws {
        let folder = try TemporaryDirectory()
        let keys = [try await Self.makeKey(in: folder, "key-1"), try await Self.makeKey(in: folder, "key-2")]
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            var bearer = ScriptedUpstream.Bearer()
            bearer.basic = Self.basic
            upstream.requireBearer(bearer)
            let old = ["ENTREPOT_FETCHER_KEY_FILES": keys[0]]
            try await Deployment.with(["up=\(upstream.url)"], environment: old) { deployment in
                try await Self.setCredentials(deployment, folder)
                let sealedTo = {
                    try await deployment.client.query("SELECT sealing_key_id FROM proxy_cache_config")
                        .decodeFirst(String.self)
                }
                let first = try await sealedTo()
                try await deployment.fetchers[0].stop(SIGKILL)
                try await deployment.addFetcher(["ENTREPOT_FETCHER_KEY_FILES": "\(keys[1]),\(keys[0])"])
                try await eventually("the credentials are sealed to the new key") { try await sealedTo() != first }
                try await deployment.fetchers[1].stop(SIGKILL)
                try await deployment.addFetcher(["ENTREPOT_FETCHER_KEY_FILES": keys[1]])
                expectServed(try await deployment.registry.get("/v2/up/a/b/manifests/t"), Self.image.bytes)
                try await deployment.fetchers[2].stop(SIGKILL)
                try await deployment.addFetcher(["ENTREPOT_FETCHER_KEY_FILES": keys[0]])
                let unable = try await deployment.registry.get("/v2/up/a/b/manifests/other")
                #expect(unable.status == 403 && unable.text.contains("key that this fetcher hasn't"), "\(unable.text)")
            }
        }
    }

    @Test("the credentials and the tokens that they bring are in no log, answer, row or error, whatever goes wrong")
    func canary() async throws {
        try await Self.withPrivateUpstream { upstream, deployment, folder in
            try await Self.setCredentials(deployment, folder)
            var answers: [String] = []
            func pull(_ name: String) async throws {
                for client in deployment.clients {
                    let got = try await client.get("/v2/up/a/b/manifests/\(name)")
                    answers.append("\(got.status) \(got.headers) \(got.text)")
                }
                try await deployment.forgetFailures()
            }
            try await pull("t")
            _ = try await deployment.registry.get("/v2/up/a/b/blobs/\(Self.image.blobs[1].digest)")
            let token = upstream.requests.compactMap { $0.headers[.authorization] }.first { $0.hasPrefix("Bearer ") }
            let faults: [(String, Fault.Action)] = [
                ("manifests/f0", .answer(401, [:], Array("no".utf8))), ("manifests/f1", .answer(403, [:], [])),
                ("manifests/f2", .answer(500, [:], [])),
                ("manifests/f3", .redirect("http://localhost:9/x", status: 307)),
                ("manifests/f4", .answer(200, [.contentType: "text/html"], Array("<html>".utf8))),
                ("manifests/f5", .truncate(after: 3, reset: true)),
            ]
            for (number, (match, action)) in faults.enumerated() {
                upstream.fault(match, action)
                try await pull("f\(number)")
            }
            upstream.revokeTokens()
            for reply in ["{\"token\":\"{token}\\r\\nX: 1\"}", "{\"token\":", "{}"] {
                var bearer = ScriptedUpstream.Bearer()
                bearer.reply = reply
                upstream.requireBearer(bearer)
                try await pull("g\(reply.count)")
            }
            let secrets =
                [Self.password, Self.username, String(Self.basic.dropFirst(6))]
                + [token].compactMap { $0?.dropFirst(7) }.map(String.init)
            #expect(secrets.count == 4)
            let processes = deployment.frontends + deployment.fetchers
            let dump = try await deployment.dump()
            #expect(dump.contains("a/b") && !answers.isEmpty && processes.allSatisfy { !$0.lines.isEmpty })
            for secret in secrets {
                #expect(!dump.contains(secret), "in the database")
                #expect(!answers.contains { $0.contains(secret) }, "in an answer")
                for process in processes {
                    #expect(!process.lines.contains { $0.contains(secret) }, "in the log of \(process.name)")
                }
            }
        }
    }

    @Test("wrong arguments end with status 2 and say why")
    func arguments() async throws {
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            for (arguments, status, complaint) in [
                (["up"], 2, "--username"), (["nobody", "--clear"], 3, "there is no such organization"),
                (["up", "--username", "a:b", "--password-file", "/etc/hostname"], 2, "user name"),
                (["up", "--username", "a", "--password-file", "/nowhere"], 2, "/nowhere"),
            ] as [([String], Int32, String)] {
                let process = try await deployment.startEntrepot(["proxy", "credentials"] + arguments)
                #expect(try await process.exitStatus() == status, "\(arguments)")
                #expect(process.lines.contains { $0.contains(complaint) }, "\(arguments): \(process.lines)")
            }
            let early = try await deployment.startEntrepot(
                ["proxy", "credentials", "up", "--username", "a", "--password-file", "/etc/hostname"]
            )
            #expect(try await early.exitStatus() == 2)
            #expect(early.lines.contains { $0.contains("no fetcher has a key yet") })
        }
    }
}
