// SPDX-License-Identifier: Apache-2.0

import Foundation
import OCI
import TestSupport
import Testing

/// The files of `deploy/clients`, with this test's addresses in place of theirs.
@Suite("Client set-ups")
struct ClientFileTests {
    private static let address = "127.0.0.1:5080"

    private static func file(_ path: String) throws -> String {
        try String(contentsOfFile: "\(Repository.root)/deploy/clients/\(path)", encoding: .utf8)
    }

    /// An upstream with `library/app:v1`, and its image's digest.
    private static func withUpstream(
        environment: [String: String] = [:],
        _ body: (_ upstream: String, _ digest: String, _ work: String, Deployment) async throws -> Void
    ) async throws {
        let registry = try await DockerRegistry()
        let work = try TemporaryDirectory()
        let layout = try await OCILayout.make(in: work.path + "/image", layers: [200_000, 900_000])
        let upstream = "127.0.0.1:\(registry.port)"
        try await run(
            "skopeo",
            ["copy", "-q", "--dest-tls-verify=false", layout.reference, "docker://\(upstream)/library/app:v1"]
        )
        try await Deployment.with(["docker=http://\(upstream)"], environment: environment) { deployment in
            try await body(upstream, layout.digest.description, work.path, deployment)
        }
    }

    private static func address(of deployment: Deployment) -> String {
        String(deployment.registry.base.dropFirst("http://".count))
    }

    /// A manifest by tag and what belongs to it were asked for, and served.
    private static func expectServed(
        _ path: String,
        by deployment: Deployment,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        var lines: [String] = []
        try await eventually("it was asked for what belongs to \(path)") {
            lines = deployment.frontends[0].lines.filter { $0.contains(path) }
            return lines.count >= 4
        }
        let refused = lines.filter { !$0.contains("status=20") }
        #expect(refused.isEmpty, sourceLocation: sourceLocation)
    }

    @Test(
        "containerd pulls through hosts.toml, for one registry or for all, and names the registry",
        arguments: ["docker.io", "_default"]
    )
    func containerd(_ folder: String) async throws {
        try await Self.withUpstream { upstream, digest, work, deployment in
            let text = try Self.file("containerd/\(folder)/hosts.toml")
                .replacing(Self.address, with: Self.address(of: deployment))
                .replacing("https://registry-1.docker.io", with: "http://127.0.0.1:9")
            let hosts = "\(work)/hosts/\(folder == "_default" ? folder : upstream)"
            try FileManager.default.createDirectory(atPath: hosts, withIntermediateDirectories: true)
            try text.write(toFile: hosts + "/hosts.toml", atomically: true, encoding: .utf8)
            let containerd = try await Containerd()
            try await containerd.pull("\(upstream)/library/app:v1", hosts: work + "/hosts")
            let listed = try await containerd.ctr(["image", "ls"])
            #expect(listed.contains(digest), "\(listed)")
            try await Self.expectServed("/v2/library/app/", by: deployment)
        }
    }

    @Test("podman pulls through the mirrors of registries.conf.d")
    func podman() async throws {
        try await Self.withUpstream { upstream, digest, work, deployment in
            let text = try Self.file("podman/entrepot.conf")
                .replacing("location = \"docker.io\"", with: "location = \"\(upstream)\"")
                .replacing(Self.address, with: Self.address(of: deployment))
            try text.write(toFile: work + "/registries.conf", atomically: true, encoding: .utf8)
            let podman = [
                "CONTAINERS_REGISTRIES_CONF=\(work)/registries.conf", "podman", "--root", work + "/p", "--runroot",
                work + "/pr", "--storage-driver=vfs",
            ]
            let image = "\(upstream)/library/app:v1"
            try await run("env", podman + ["pull", "-q", image])
            let pulled = try await run("env", podman + ["image", "inspect", "--format", "{{.Digest}}", image])
            #expect(pulled.contains(digest), "\(pulled)")
            try await run("env", podman + ["rmi", image])
            try await Self.expectServed("/v2/docker/library/app/", by: deployment)
        }
    }

    @Test("dockerd's mirror is the cache, which answers paths without an organization")
    func docker() async throws {
        struct Daemon: Decodable {
            let mirrors: [String]
            enum CodingKeys: String, CodingKey { case mirrors = "registry-mirrors" }
        }
        let daemon = try JSONDecoder().decode(Daemon.self, from: Data(try Self.file("docker/daemon.json").utf8))
        // dockerd takes no path in a mirror, and no query: nothing there can name an organization.
        #expect(daemon.mirrors == ["http://\(Self.address)"])
        let environment = ["ENTREPOT_DEFAULT_ORGANIZATION": "docker"]
        try await Self.withUpstream(environment: environment) { _, digest, work, deployment in
            // skopeo asks as dockerd does: the mirror's host, and Docker Hub's path.
            let image = "docker://\(Self.address(of: deployment))/library/app:v1"
            try await run("skopeo", ["copy", "-q", "--src-tls-verify=false", image, "dir:\(work)/out"])
            let inspect = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", image]
            #expect(try await run("skopeo", inspect).contains(digest))
            try await Self.expectServed("/v2/library/app/", by: deployment)
        }
    }
}
