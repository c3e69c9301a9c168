// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import OCI
import Postgres
import TestSupport
import Testing

/// Debian's registry as upstream; skopeo and podman as clients.
@Suite struct RealClientTests {
    /// An image made by hand, pushed by skopeo into a registry that `body` may stop.
    private static func withRegistry(
        _ body: (_ registry: DockerRegistry, _ deployment: Deployment, _ work: TemporaryDirectory) async throws -> Void
    ) async throws {
        let registry = try await DockerRegistry()
        let work = try TemporaryDirectory()
        try await Deployment.with(["cache=http://127.0.0.1:\(registry.port)"]) { deployment in
            try await body(registry, deployment, work)
        }
    }

    private static func digest(_ work: TemporaryDirectory, _ source: String) async throws -> String {
        try await run("skopeo", ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", source])
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test(
        "skopeo copies an image through the cache: equal digests, no blob asked for twice, and it works with upstream stopped"
    )
    func skopeo() async throws {
        try await Self.withRegistry { registry, deployment, work in
            let layout = try await OCILayout.make(in: work.path + "/image", layers: [200_000, 3_000_000])
            let upstream = "docker://127.0.0.1:\(registry.port)/library/app:v1"
            try await run("skopeo", ["copy", "-q", "--dest-tls-verify=false", layout.reference, upstream])
            let address = deployment.registry.base.dropFirst("http://".count)
            let cached = "docker://\(address)/cache/library/app:v1"
            try await run("skopeo", ["copy", "-q", "--src-tls-verify=false", cached, "dir:\(work.path)/one"])
            // Of ours: who inspects an image asks for its configuration, too.
            let isBlobFetch = { (line: String) in
                line.contains("GET /v2/library/app/blobs/") && line.contains("entrepot")
            }
            // The registry says so after it has answered.
            try await eventually("each blob was fetched") { registry.lines.filter(isBlobFetch).count == 3 }
            try await run("skopeo", ["copy", "-q", "--src-tls-verify=false", cached, "dir:\(work.path)/two"])
            #expect(try await Self.digest(work, cached) == Self.digest(work, upstream))
            try await registry.stop()
            #expect(registry.lines.filter(isBlobFetch).count == 3, "all that it has ever said")
            try await run("skopeo", ["copy", "-q", "--src-tls-verify=false", cached, "dir:\(work.path)/three"])
            for name in try FileManager.default.contentsOfDirectory(atPath: work.path + "/one") {
                let first = try Data(contentsOf: URL(filePath: "\(work.path)/one/\(name)"))
                #expect(try Data(contentsOf: URL(filePath: "\(work.path)/three/\(name)")) == first, "\(name)")
            }
        }
    }

    @Test("skopeo lists the tags of a registry and those it knew once that is stopped")
    func listing() async throws {
        try await Self.withRegistry { registry, deployment, work in
            let layout = try await OCILayout.make(in: work.path + "/image", layers: [1_000])
            let tags = (1...5).map { "v\($0)" }
            for tag in tags {
                let upstream = "docker://127.0.0.1:\(registry.port)/library/app:\(tag)"
                try await run("skopeo", ["copy", "-q", "--dest-tls-verify=false", layout.reference, upstream])
            }
            let address = deployment.registry.base.dropFirst("http://".count)
            let list = ["list-tags", "--tls-verify=false", "docker://\(address)/cache/library/app"]
            struct Listed: Decodable { let Tags: [String] }
            let listed = try JSONDecoder().decode(Listed.self, from: Data(try await run("skopeo", list).utf8))
            #expect(listed.Tags == tags)
            try await registry.stop()
            try await deployment.client.query("UPDATE tag_list SET checked_at = now() - interval '1 minute'")
            let later = try JSONDecoder().decode(Listed.self, from: Data(try await run("skopeo", list).utf8))
            #expect(later.Tags == tags)
        }
    }

    @Test("podman pulls an image through the cache")
    func podman() async throws {
        try await Self.withRegistry { registry, deployment, work in
            let layout = try await OCILayout.make(in: work.path + "/image", layers: [100_000])
            let upstream = "docker://127.0.0.1:\(registry.port)/library/app:v1"
            try await run("skopeo", ["copy", "-q", "--dest-tls-verify=false", layout.reference, upstream])
            let address = deployment.registry.base.dropFirst("http://".count)
            let storage = ["--root", work.path + "/p", "--runroot", work.path + "/pr", "--storage-driver=vfs"]
            let image = "\(address)/cache/library/app:v1"
            try await run("podman", storage + ["pull", "-q", "--tls-verify=false", image])
            let digest = try await run("podman", storage + ["image", "inspect", "--format", "{{.Digest}}", image])
            #expect(
                try await digest.trimmingCharacters(in: .whitespacesAndNewlines) == Self.digest(work, upstream)
            )
            try await run("podman", storage + ["rmi", image])
        }
    }

    @Test("a multi-platform image is copied whole, index and children unchanged")
    func multiPlatform() async throws {
        try await Self.withRegistry { registry, deployment, work in
            let layout = try await OCILayout.make(
                in: work.path + "/image",
                layers: [50_000],
                platforms: ["amd64", "arm64"]
            )
            let upstream = "docker://127.0.0.1:\(registry.port)/library/multi:v1"
            try await run("skopeo", ["copy", "-q", "--all", "--dest-tls-verify=false", layout.reference, upstream])
            let address = deployment.registry.base.dropFirst("http://".count)
            let cached = "docker://\(address)/cache/library/multi:v1"
            try await run(
                "skopeo",
                ["copy", "-q", "--all", "--src-tls-verify=false", cached, "dir:\(work.path)/out"]
            )
            let index = try Data(contentsOf: URL(filePath: work.path + "/out/manifest.json"))
            #expect(OCI.Digest.of(Array(index)) == layout.digest)
        }
    }
}
