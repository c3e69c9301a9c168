// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import TestSupport
import Testing

/// Debian's registry behind what stands before registries: a token server, TLS with an authority of its own, a proxy.
@Suite struct GuardedRegistryTests {
    private static func digest(_ source: String) async throws -> String {
        try await run("skopeo", ["inspect", "--raw", "--tls-verify=false", source])
    }

    /// An image in an open registry, whose storage a guarded one then serves.
    private static func withImage(
        _ body: (_ storage: String, _ layout: OCILayout, _ work: TemporaryDirectory) async throws -> Void
    ) async throws {
        let work = try TemporaryDirectory()
        let open = try await DockerRegistry(storage: work.path + "/data")
        let layout = try await OCILayout.make(in: work.path + "/image", layers: [100_000, 2_000_000])
        try await run(
            "skopeo",
            [
                "copy", "-q", "--dest-tls-verify=false", layout.reference,
                "docker://127.0.0.1:\(open.port)/library/app:v1",
            ]
        )
        try await open.stop()
        try await body(work.path + "/data", layout, work)
    }

    private static func expectPull(_ deployment: Deployment, _ layout: OCILayout, _ work: TemporaryDirectory)
        async throws
    {
        let address = deployment.registry.base.dropFirst("http://".count)
        let image = "docker://\(address)/cache/library/app:v1"
        try await run("skopeo", ["copy", "-q", "--src-tls-verify=false", image, "dir:\(work.path)/out"])
        let manifest = try await deployment.registry.get("/v2/cache/library/app/manifests/v1")
        #expect(manifest.headers[.dockerContentDigest] == layout.digest.description)
    }

    @Test("a registry whose token server wants nothing but a question")
    func tokenServer() async throws {
        try await Self.withImage { storage, layout, work in
            let certificate = try await Certificate()
            try await TokenServer.with(signing: certificate) { tokens in
                let registry = try await DockerRegistry(.token(realm: tokens.url, certificate), storage: storage)
                let realm = String(tokens.url.dropFirst("http://".count).prefix { $0 != "/" })
                try await Deployment.with(["cache=http://127.0.0.1:\(registry.port)"]) { deployment in
                    let refused = try await deployment.registry.get("/v2/cache/library/app/manifests/v1")
                    #expect(refused.status == 502 && refused.text.contains("isn't trusted"), "\(refused.text)")
                    #expect(tokens.requests.isEmpty)
                    try await deployment.configure("cache", "realm_hosts = '{\(realm)}'")
                    try await Self.expectPull(deployment, layout, work)
                    #expect(tokens.requests.count == 1)
                    #expect(tokens.requests[0].line.contains("scope=repository:library/app:pull"))
                }
            }
        }
    }

    @Test("a registry with TLS of an authority of its own, which the fetchers are told to trust")
    func privateAuthority() async throws {
        try await Self.withImage { storage, layout, work in
            let certificate = try await Certificate()
            let registry = try await DockerRegistry(.tls(certificate), storage: storage)
            let proxies = ["cache=https://127.0.0.1:\(registry.port)"]
            try await Deployment.with(proxies) { deployment in
                let refused = try await deployment.registry.get("/v2/cache/library/app/manifests/v1")
                #expect(refused.status == 503 && refused.text.contains("TLS"), "\(refused.text)")
            }
            let trust = ["SSL_CERT_FILE": certificate.certificateFile, "CURL_CA_BUNDLE": ""]
            try await Deployment.with(proxies, environment: trust) { deployment in
                try await Self.expectPull(deployment, layout, work)
            }
        }
    }

    @Test("a registry that is reached through the environment's proxy", arguments: [false, true])
    func proxy(isSecure: Bool) async throws {
        try await Self.withImage { storage, layout, work in
            let certificate = try await Certificate()
            let registry = try await DockerRegistry(isSecure ? .tls(certificate) : .none, storage: storage)
            let proxy = try await ForwardProxy()
            let environment = [
                "http_proxy": proxy.url, "HTTPS_PROXY": proxy.url, "no_proxy": "", "NO_PROXY": "",
                "SSL_CERT_FILE": certificate.certificateFile, "CURL_CA_BUNDLE": "",
            ]
            let upstream = "\(isSecure ? "https" : "http")://127.0.0.1:\(registry.port)"
            try await Deployment.with(["cache=\(upstream)"], environment: environment) { deployment in
                try await Self.expectPull(deployment, layout, work)
                try await eventually("the proxy says whom it asked") {
                    proxy.lines.contains { $0.contains("127.0.0.1:\(registry.port)") }
                }
            }
        }
    }
}
