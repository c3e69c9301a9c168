// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Debian's containerd, without anything but its image store, for pulling.
package final class Containerd: Sendable {
    private let folder: TemporaryDirectory
    private let process: TestProcess

    private var socket: String { folder.path + "/c.sock" }

    package init() async throws {
        folder = try TemporaryDirectory()
        let configuration = """
            version = 2
            root = "\(folder.path)/root"
            state = "\(folder.path)/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", \
            "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
            [grpc]
              address = "\(folder.path)/c.sock"
            [ttrpc]
              address = "\(folder.path)/c.sock.ttrpc"
            """
        let file = folder.path + "/config.toml"
        try configuration.write(toFile: file, atomically: true, encoding: .utf8)
        process = try await TestProcess("/usr/bin/env", ["containerd", "-c", file])
        try await process.line(containing: "containerd successfully booted")
    }

    @discardableResult
    package func ctr(_ arguments: [String]) async throws -> String {
        try await run("ctr", ["-a", socket] + arguments)
    }

    package func pull(_ image: String, hosts: String) async throws {
        try await ctr(["image", "pull", "--snapshotter", "native", "--hosts-dir", hosts, image])
    }
}
