// SPDX-License-Identifier: Apache-2.0

import Foundation
import OCI
import TestSupport
import Testing

/// The frontend over TLS, as real clients see it.
@Suite("TLS")
struct TLSTests {
    /// More than one window of HTTP/2, and more than one chunk.
    private static let image = ImageFixture.single(seed: 74, size: 9_000_000)

    /// Runs a frontend with the certificate, which clients know as their authority; gives `https://127.0.0.1:PORT`.
    private func withFrontend(
        _ certificate: Certificate,
        _ body: (String, Deployment) async throws -> Void
    ) async throws {
        let environment = [
            "ENTREPOT_TLS_CERTIFICATE": certificate.certificateFile, "ENTREPOT_TLS_KEY": certificate.keyFile,
        ]
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                try await body("https" + deployment.registry.base.dropFirst("http".count), deployment)
            }
        }
    }

    private func curl(_ certificate: Certificate, _ arguments: String...) async throws -> String {
        try await run("curl", ["-sS", "--fail", "--noproxy", "*", "--cacert", certificate.certificateFile] + arguments)
    }

    @Test("cold and warm, a blob arrives whole over HTTP/2 and over HTTP/1.1, and in parts", arguments: ["2", "1.1"])
    func blobs(_ version: String) async throws {
        let certificate = try await Certificate()
        let folder = try TemporaryDirectory()
        let layer = try #require(Self.image.blobs.last)
        try await withFrontend(
            certificate,
            { base, deployment in
                let flag = version == "2" ? "--http2" : "--http1.1"
                let format = "%{http_version} %{response_code} %{size_download}"
                let manifest = try await curl(
                    certificate,
                    flag,
                    "-o",
                    folder.path + "/manifest",
                    "-w",
                    format,
                    base + "/v2/cache/app/manifests/1"
                )
                #expect(manifest.hasPrefix("\(version) 200 "))
                for name in ["cold", "warm"] {
                    let file = folder.path + "/" + name
                    let url = base + "/v2/cache/app/blobs/\(layer.digest)"
                    #expect(
                        try await curl(certificate, flag, "-o", file, "-w", format, url)
                            == "\(version) 200 \(layer.size)"
                    )
                    #expect(Digest.of(Array(try Data(contentsOf: URL(filePath: file)))) == layer.digest)
                    _ = try await deployment.placedFile()
                }
                let part = try await curl(
                    certificate,
                    flag,
                    "-r",
                    "8000000-8000099",
                    "-o",
                    folder.path + "/part",
                    "-w",
                    format,
                    base + "/v2/cache/app/blobs/\(layer.digest)"
                )
                #expect(part == "\(version) 206 100")
                #expect(
                    Array(try Data(contentsOf: URL(filePath: folder.path + "/part")))
                        == layer.bytes(8_000_000..<8_000_100)
                )
            }
        )
    }

    @Test("many streams of one HTTP/2 connection don't stand in each other's way")
    func streams() async throws {
        let certificate = try await Certificate()
        let folder = try TemporaryDirectory()
        let layer = try #require(Self.image.blobs.last)
        try await withFrontend(
            certificate,
            { base, _ in
                _ = try await curl(certificate, "-o", folder.path + "/m", base + "/v2/cache/app/manifests/1")
                _ = try await curl(
                    certificate,
                    "--http2",
                    "--parallel",
                    "--parallel-max",
                    "8",
                    "-o",
                    folder.path + "/#1",
                    base + "/v2/cache/app/blobs/\(layer.digest)?stream=[1-8]"
                )
                for index in 1...8 {
                    let bytes = Array(try Data(contentsOf: URL(filePath: folder.path + "/\(index)")))
                    #expect(Digest.of(bytes) == layer.digest)
                }
            }
        )
    }

    @Test("clients are sent to https for their tokens, and skopeo copies an image")
    func skopeo() async throws {
        let certificate = try await Certificate()
        let folder = try TemporaryDirectory()
        try await withFrontend(
            certificate,
            { base, _ in
                let challenge = try await run(
                    "curl",
                    ["-sS", "--noproxy", "*", "-i", "--cacert", certificate.certificateFile, base + "/v2/"]
                )
                #expect(challenge.lowercased().contains("www-authenticate: bearer realm=\"\(base)/v2/auth\""))
                let authorities = folder.path + "/authorities"
                try FileManager.default.createDirectory(atPath: authorities, withIntermediateDirectories: true)
                try FileManager.default.copyItem(atPath: certificate.certificateFile, toPath: authorities + "/ca.crt")
                let image = "docker://" + base.dropFirst("https://".count) + "/cache/app:1"
                try await run(
                    "skopeo",
                    ["copy", "-q", "--src-cert-dir", authorities, image, "dir:\(folder.path)/image"]
                )
                let layer = try #require(Self.image.blobs.last)
                #expect(FileManager.default.fileExists(atPath: "\(folder.path)/image/\(layer.digest.hex)"))
            }
        )
    }

    /// SHA-256 of the certificate that the server shows.
    private func shown(_ base: String) async throws -> String {
        let text = try await run(
            "sh",
            [
                "-c",
                "openssl s_client -connect \(base.dropFirst("https://".count)) </dev/null 2>/dev/null"
                    + " | openssl x509 -noout -fingerprint -sha256",
            ]
        )
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test(
        "a certificate that has changed is shown without a restart; one that can't be used is told, and the old one stays"
    )
    func reload() async throws {
        let (old, new) = (try await Certificate(), try await Certificate())
        try await withFrontend(
            old,
            { base, deployment in
                let frontend = deployment.frontends[0]
                let before = try await shown(base)
                #expect(before.contains("Fingerprint="))

                try "no certificate".write(toFile: old.certificateFile, atomically: true, encoding: .utf8)
                let complaint = try await frontend.line(containing: "changed certificate can't be used")
                #expect(complaint.contains(old.certificateFile))
                #expect(try await shown(base) == before)
                let metrics = try Exposed(try await frontend.internalClient().get("/metrics").text)
                #expect(metrics["entrepot_tls_reload_failures_total"] == 1)
                let left =
                    (metrics["entrepot_tls_certificate_expiry_timestamp_seconds"] ?? 0) - Date().timeIntervalSince1970
                #expect((0...90_000).contains(left))

                for (source, target) in [(new.keyFile, old.keyFile), (new.certificateFile, old.certificateFile)] {
                    try Data(contentsOf: URL(filePath: source)).write(to: URL(filePath: target), options: .atomic)
                }
                try await frontend.line(containing: "certificate reloaded")
                #expect(try await shown(base) != before)
                _ = try await curl(new, "-o", "/dev/null", base + "/v2/cache/app/manifests/1")
            }
        )
    }

    @Test("a client that never comes to the end of its handshake is let go of")
    func silence() async throws {
        try await withFrontend(
            try await Certificate(),
            { base, _ in
                let port = try #require(base.split(separator: ":").last)
                // Ends when the server closes; in time, or with another status.
                try await run("timeout", ["25", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\(port); cat <&3"])
            }
        )
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
            let process = try TestProcess(Executables.path("registry-frontend"), environment: environment)
            #expect(try await process.exitStatus() == 2)
            let text = process.lines.joined(separator: "\n")
            for word in named { #expect(text.contains(word), "\(text)") }
        }
    }
}
