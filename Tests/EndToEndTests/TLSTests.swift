// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import OCI
import TestSupport
import Testing

/// The frontend over TLS, as real clients see it.
@Suite("TLS")
struct TLSTests {
    /// More than one window of HTTP/2, and more than one chunk.
    private static let image = ImageFixture.single(seed: 74, size: 9_000_000)

    /// A frontend over TLS, and what a client needs.
    private struct Scene {
        let upstream: ScriptedUpstream
        let deployment: Deployment
        /// Whom clients trust.
        let certificate: Certificate
        let folder: TemporaryDirectory
        /// `https://127.0.0.1:PORT`
        let base: String
        let layer: ImageFixture.Blob

        var port: Substring { base.split(separator: ":").last ?? "" }
        var manifestURL: String { base + "/v2/cache/app/manifests/1" }
        var layerURL: String { base + "/v2/cache/app/blobs/\(layer.digest)" }

        /// Gets a URL into a file of the folder; gives version of HTTP, status and bytes.
        @discardableResult
        func get(_ url: String, into name: String = "out", _ options: String...) async throws -> String {
            let common = ["-sS", "--noproxy", "*", "--cacert", certificate.certificateFile, "-o", path(name)]
            let format = "%{http_version} %{response_code} %{size_download}"
            return try await run("curl", common + ["-w", format] + options + [url])
        }

        func path(_ name: String) -> String { folder.path + "/" + name }

        func content(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path(name)))) }

        /// SHA-256 of the certificate that the server shows.
        func fingerprint() async throws -> String {
            let client = "openssl s_client -connect 127.0.0.1:\(port) </dev/null 2>/dev/null"
            let text = try await run("sh", ["-c", client + " | openssl x509 -noout -fingerprint -sha256"])
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }

    private static func settings(_ certificate: Certificate) -> [String: String] {
        ["ENTREPOT_TLS_CERTIFICATE": certificate.certificateFile, "ENTREPOT_TLS_KEY": certificate.keyFile]
    }

    private static func withFrontend(
        _ image: ImageFixture = image,
        _ body: (Scene) async throws -> Void
    ) async throws {
        let certificate = try await Certificate()
        let folder = try TemporaryDirectory()
        let layer = try #require(image.blobs.last)
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"], environment: settings(certificate)) { deployment in
                let scene = Scene(
                    upstream: upstream,
                    deployment: deployment,
                    certificate: certificate,
                    folder: folder,
                    base: "https" + deployment.registry.base.dropFirst("http".count),
                    layer: layer
                )
                try await body(scene)
            }
        }
    }

    @Test("cold and warm, a blob arrives whole over HTTP/2 and over HTTP/1.1, and in parts", arguments: ["2", "1.1"])
    func blobs(_ version: String) async throws {
        let flag = version == "2" ? "--http2" : "--http1.1"
        try await Self.withFrontend { scene in
            let manifest = try await scene.get(scene.manifestURL, flag)
            #expect(manifest.hasPrefix("\(version) 200 "))
            for name in ["cold", "warm"] {
                let answer = try await scene.get(scene.layerURL, into: name, flag)
                #expect(answer == "\(version) 200 \(scene.layer.size)")
                #expect(Digest.of(try scene.content(name)) == scene.layer.digest)
                _ = try await scene.deployment.placedFile()
            }
            let part = try await scene.get(scene.layerURL, into: "part", flag, "-r", "8000000-8000099")
            #expect(part == "\(version) 206 100")
            #expect(try scene.content("part") == scene.layer.bytes(8_000_000..<8_000_100))
            #expect(try await scene.get(scene.layerURL, flag, "-I").hasPrefix("\(version) 200"))
        }
    }

    @Test("many streams of one HTTP/2 connection don't stand in each other's way, and don't fill the memory")
    func streams() async throws {
        let large = ImageFixture.single(seed: 76, size: 32_000_000)
        try await Self.withFrontend(large) { scene in
            try await scene.get(scene.manifestURL)
            try await scene.get(scene.layerURL, "--http2")
            _ = try await scene.deployment.placedFile()
            let before = try scene.deployment.frontends[0].peakMemoryBytes()
            let url = scene.layerURL + "?stream=[1-6]"
            try await scene.get(url, into: "#1", "--http2", "--parallel", "--parallel-max", "6")
            for index in 1...6 { #expect(Digest.of(try scene.content("\(index)")) == scene.layer.digest) }
            #expect(try scene.deployment.frontends[0].peakMemoryBytes() - before < 16_000_000)
        }
    }

    @Test(
        "a blob that turns out wrong is cut, not ended, over HTTP/2 and over HTTP/1.1",
        arguments: ["--http2", "--http1.1"]
    )
    func wrongBytes(_ flag: String) async throws {
        try await Self.withFrontend { scene in
            try await scene.get(scene.manifestURL, flag)
            scene.upstream.fault("/blobs/", .corrupt(at: 100))
            // Cut in the midst; curl's 22 is an error in place of the blob, when the failure is there before the first byte.
            let error = await #expect(throws: TestSupportError.self) {
                try await scene.get(scene.layerURL, flag, "--fail")
            }
            let ends = ["18", "22", "56", "92"].map { "ended with \($0):" }
            #expect(ends.contains { error?.description.contains($0) == true }, "\(error?.description ?? "")")
            #expect(try scene.deployment.published().isEmpty)
            scene.upstream.clearFaults()
            try await scene.get(scene.layerURL, flag, "--fail")
            #expect(Digest.of(try scene.content("out")) == scene.layer.digest)
        }
    }

    @Test("a client that resets many streams of a connection, with a ping for each, is answered all the same")
    func steps() async throws {
        func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ body: [UInt8] = []) -> [UInt8] {
            let length = withUnsafeBytes(of: UInt32(body.count).bigEndian) { $0.dropFirst() }
            return length + [type, flags] + withUnsafeBytes(of: stream.bigEndian) { Array($0) } + body
        }
        // GET and https from HPACK's table, path and authority in words.
        func head(_ path: String) -> [UInt8] {
            [0x82, 0x87, 0x04, UInt8(path.utf8.count)] + Array(path.utf8) + [0x01, 4] + Array("test".utf8)
        }
        var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4)
        for stream in stride(from: UInt32(1), to: 801, by: 2) {
            bytes += frame(1, flags: 5, stream: stream, head("/v2/"))
            bytes += frame(3, stream: stream, [0, 0, 0, 8])
            bytes += frame(6, Array("complete".utf8))
        }
        bytes += frame(1, flags: 5, stream: 801, head("/v2/cache/app/manifests/1"))
        try await Self.withFrontend { scene in
            try Data(bytes).write(to: URL(filePath: scene.path("frames")))
            let client = "openssl s_client -quiet -alpn h2 -connect 127.0.0.1:\(scene.port)"
            let words = "\(client) <\(scene.path("frames")) | stdbuf -o0 tr -c '[:print:]' '\\n'"
            // Ends at the body of the last answer.
            try await run(
                "bash",
                ["-c", "exec 2>/dev/null; timeout 90 grep -q schemaVersion < <(\(words))"],
                within: .seconds(120)
            )
        }
    }

    @Test("a frontend that was told to end finishes what it sends over HTTP/2")
    func drain() async throws {
        try await Self.withFrontend { scene in
            try await scene.get(scene.manifestURL)
            let gate = Gate()
            scene.upstream.fault("/blobs/", .stall(after: 4_000_000, gate), times: 1)
            let frontend = scene.deployment.frontends[0]
            let health = try await frontend.internalClient()
            async let pull = scene.get(scene.layerURL, "--http2")
            try await eventually("the layer is under way") { gate.arrivals == 1 }
            frontend.kill(SIGTERM)
            try await eventually("the frontend isn't ready") { try await health.get("/readyz").status == 503 }
            gate.open()
            #expect(try await pull == "2 200 \(scene.layer.size)")
            #expect(Digest.of(try scene.content("out")) == scene.layer.digest)
            #expect(try await frontend.exitStatus() == 0)
        }
    }

    @Test("clients are sent to https for their tokens, and skopeo copies an image")
    func skopeo() async throws {
        try await Self.withFrontend { scene in
            try await scene.get(scene.base + "/v2/", into: "body", "-D", scene.path("head"))
            let challenge = String(decoding: try scene.content("head"), as: UTF8.self).lowercased()
            #expect(challenge.contains("www-authenticate: bearer realm=\"\(scene.base)/v2/auth\""))
            let authorities = scene.path("authorities")
            try FileManager.default.createDirectory(atPath: authorities, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: scene.certificate.certificateFile,
                toPath: authorities + "/ca.crt"
            )
            let image = "docker://127.0.0.1:\(scene.port)/cache/app:1"
            try await run(
                "skopeo",
                ["copy", "-q", "--src-cert-dir", authorities, image, "dir:" + scene.path("image")]
            )
            #expect(FileManager.default.fileExists(atPath: scene.path("image/\(scene.layer.digest.hex)")))
        }
    }

    @Test("the scanner gets its layers over TLS, too")
    func scanner() async throws {
        struct Index: Decodable {
            struct Layer: Decodable {
                let hash: String
                let uri: String
                let headers: [String: [String]]
            }
            let layers: [Layer]
        }
        let image = try await ScanScene.image("one")
        let certificate = try await Certificate()
        let folder = try TemporaryDirectory()
        try await ScanScene.with { scene in
            try await scene.deployment.addFrontend(Self.settings(certificate))
            scene.upstream.add(image, to: "a/b", tag: "1")
            #expect(try await scene.pull("1").status == 200)
            try await scene.isScanned(image)
            let request = try #require(scene.scanner.requests.first { $0.path.hasSuffix("/index_report") })
            let layer = try #require(try JSONDecoder().decode(Index.self, from: Data(request.body)).layers.first)
            let path = layer.uri.dropFirst(scene.registry.base.count)
            let base = try #require(scene.deployment.clients.last).base.dropFirst("http".count)
            let token = try #require(layer.headers["Authorization"]?.first)
            try await run(
                "curl",
                [
                    "-sS", "--fail", "--noproxy", "*", "--cacert", certificate.certificateFile, "-H",
                    "Authorization: \(token)", "-o", folder.path + "/layer", "https\(base)\(path)",
                ]
            )
            let bytes = Array(try Data(contentsOf: URL(filePath: folder.path + "/layer")))
            #expect(Digest.of(bytes).rawValue == layer.hash)
        }
    }

    @Test(
        "a certificate that has changed is shown without a restart; one that can't be used is told, and the old one stays"
    )
    func reload() async throws {
        let new = try await Certificate()
        try await Self.withFrontend { scene in
            let old = scene.certificate
            let frontend = scene.deployment.frontends[0]
            let before = try await scene.fingerprint()
            #expect(before.contains("Fingerprint="))

            try "no certificate".write(toFile: old.certificateFile, atomically: true, encoding: .utf8)
            let complaint = try await frontend.line(containing: "changed certificate can't be used")
            #expect(complaint.contains(old.certificateFile))
            #expect(try await scene.fingerprint() == before)
            let metrics = try Exposed(try await frontend.internalClient().get("/metrics").text)
            #expect(metrics["entrepot_tls_reload_failures_total"] == 1)
            let end = metrics["entrepot_tls_certificate_expiry_timestamp_seconds"] ?? 0
            #expect((0...90_000).contains(end - Date().timeIntervalSince1970))

            for (source, target) in [(new.keyFile, old.keyFile), (new.certificateFile, old.certificateFile)] {
                try Data(contentsOf: URL(filePath: source)).write(to: URL(filePath: target), options: .atomic)
            }
            try await frontend.line(containing: "certificate reloaded")
            #expect(try await scene.fingerprint() != before)
            // The files that clients trust are the new ones by now.
            #expect(try await scene.get(scene.manifestURL).contains(" 200 "))
        }
    }

    @Test("a client that never comes to the end of its handshake is let go of")
    func silence() async throws {
        try await Self.withFrontend { scene in
            // Ends when the server closes; in time, or with another status.
            let wait = "exec 3<>/dev/tcp/127.0.0.1/\(scene.port); cat <&3"
            try await run("timeout", ["90", "bash", "-c", wait], within: .seconds(120))
        }
    }

    @Test("files that can't be used end the start with status 2, and are named")
    func badStart() async throws {
        let (one, two) = (try await Certificate(), try await Certificate())
        let folder = try TemporaryDirectory()
        let empty = folder.path + "/empty.pem"
        try "".write(toFile: empty, atomically: true, encoding: .utf8)
        let cases: [(certificate: String?, key: String?, named: [String])] = [
            ("/nowhere/cert.pem", one.keyFile, ["TLS_CERTIFICATE", "/nowhere/cert.pem", "can't be read"]),
            (one.certificateFile, "/nowhere/key.pem", ["TLS_KEY", "/nowhere/key.pem", "can't be read"]),
            (empty, one.keyFile, ["TLS_CERTIFICATE", empty, "no certificates"]),
            (one.certificateFile, one.certificateFile, ["TLS_KEY", one.certificateFile, "no private key"]),
            (one.certificateFile, two.keyFile, ["TLS_KEY", two.keyFile, "isn't the key of"]),
            (one.certificateFile, nil, ["TLS_KEY", "is needed with TLS_CERTIFICATE"]),
            (nil, one.keyFile, ["TLS_CERTIFICATE", "is needed with TLS_KEY"]),
        ]
        for (certificate, key, named) in cases {
            var environment: [String: String] = [:]
            environment["ENTREPOT_TLS_CERTIFICATE"] = certificate
            environment["ENTREPOT_TLS_KEY"] = key
            let process = try await TestProcess(Executables.path("registry-frontend"), environment: environment)
            #expect(try await process.exitStatus() == 2)
            let text = process.lines.joined(separator: "\n")
            for word in named { #expect(text.contains(word), "\(text)") }
        }
    }
}
