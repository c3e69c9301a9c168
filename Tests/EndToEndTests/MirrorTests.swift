// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import TestSupport
import Testing

/// Clients that use the cache as a mirror and name the registry that they mean.
@Suite struct MirrorTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])

    @Test("ns selects the organization, by path without it and with it, and is confirmed")
    func selects() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.add(Self.image, to: "team/app", tag: "t")
            try await ScriptedUpstream.with { other in
                other.add(Self.image, to: "team/app", tag: "t")
                try await Deployment.with(["up=\(upstream.url)", "team=\(other.url)/team"]) { deployment in
                    let table = [
                        ("/v2/a/b/manifests/t?ns=\(upstream.host)", upstream),
                        ("/v2/up/a/b/manifests/t?ns=\(upstream.host)", upstream),
                        ("/v2/team/app/manifests/t?ns=\(upstream.host)", upstream),
                        ("/v2/team/app/manifests/t?ns=\(other.host)", other),
                    ]
                    for (path, asked) in table {
                        asked.forgetRequests()
                        let got = try await deployment.registry.get(path)
                        expectServed(got, Self.image.bytes, "\(path)")
                        #expect(got.headers[.ociNamespace] == asked.host)
                        #expect(asked.count("manifests/t") == 1, "\(path)")
                    }
                    let blob = "/v2/a/b/blobs/\(Self.image.blobs[1].digest)"
                    let layer = try await deployment.registry.get("\(blob)?ns=\(upstream.host)")
                    #expect(layer.text == "layer" && layer.headers[.ociNamespace] == upstream.host)
                    let tags = try await deployment.registry.get("/v2/a/b/tags/list?n=0&ns=\(upstream.host)")
                    #expect(tags.text.contains("\"name\":\"a/b\""))
                }
            }
        }
    }

    @Test("a registry that no organization stands for is refused, and nobody is asked")
    func refused() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=http://127.0.0.1:9", "team=http://127.0.0.1:9/team"]) { deployment in
                for path in ["/v2/a/b/manifests/t", "/v2/up/a/b/manifests/t", "/v2/team/x/blobs/\(OCI.Digest.of([1]))"]
                {
                    let got = try await deployment.registry.get("\(path)?ns=\(upstream.host)")
                    #expect(got.status == 404 && got.errorCode == "NAME_UNKNOWN", "\(got.text)")
                    #expect(got.text.contains(upstream.host))
                }
                let bad = try await deployment.registry.get("/v2/a/b/manifests/t?ns=a%2Fb")
                #expect(bad.status == 400 && bad.errorCode == "NAME_INVALID")
                #expect(upstream.requests.isEmpty)
            }
        }
    }

    @Test("containerd pulls through a hosts.toml of the cache, and sends ns")
    func containerd() async throws {
        let registry = try await DockerRegistry()
        let work = try TemporaryDirectory()
        let layout = try await OCILayout.make(in: work.path + "/image", layers: [200_000, 900_000])
        let upstream = "127.0.0.1:\(registry.port)"
        try await run(
            "skopeo",
            ["copy", "-q", "--dest-tls-verify=false", layout.reference, "docker://\(upstream)/library/app:v1"]
        )
        try await Deployment.with(["cache=http://\(upstream)"]) { deployment in
            let hosts = "\(work.path)/hosts/\(upstream)"
            try FileManager.default.createDirectory(atPath: hosts, withIntermediateDirectories: true)
            let text =
                "server = \"http://127.0.0.1:9\"\n[host.\"\(deployment.registry.base)\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
            try text.write(toFile: hosts + "/hosts.toml", atomically: true, encoding: .utf8)
            let containerd = try await Containerd()
            try await containerd.pull("\(upstream)/library/app:v1", hosts: work.path + "/hosts")
            let listed = try await containerd.ctr(["image", "ls"])
            #expect(listed.contains(layout.digest.description), "\(listed)")
            let lines = deployment.frontends[0].lines.filter { $0.contains("/library/app/") }
            #expect(lines.count >= 4 && lines.allSatisfy { $0.contains("status=20") }, "\(lines)")
        }
    }
}

extension HTTPField.Name {
    fileprivate static let ociNamespace = field("OCI-Namespace")
}
