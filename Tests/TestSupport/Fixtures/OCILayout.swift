// SPDX-License-Identifier: Apache-2.0

import Foundation
package import OCI

/// A real image as an OCI image layout in a folder, for clients to push: gzip layers that unpack.
package struct OCILayout: Sendable {
    private let path: String
    /// Of the image or, with several platforms, of the index.
    package let digest: OCI.Digest

    /// As skopeo names it.
    package var reference: String { "oci:\(path):v1" }

    /// - Parameter layers: size of the one file in each layer
    package static func make(
        in path: String,
        layers: [Int64],
        platforms: [String] = ["amd64"]
    ) async throws -> OCILayout {
        try FileManager.default.createDirectory(atPath: path + "/blobs/sha256", withIntermediateDirectories: true)
        try write("{\"imageLayoutVersion\":\"1.0.0\"}", to: path + "/oci-layout")
        var images: [Entry] = []
        for (number, platform) in platforms.enumerated() {
            images.append(try await image(in: path, layers, platform, seed: UInt64(number)))
        }
        var top = images[0]
        if images.count > 1 {
            let list = images.map { $0.descriptor() }.joined(separator: ",")
            let text = "{\"schemaVersion\":2,\"mediaType\":\"\(ImageFixture.ociIndex)\",\"manifests\":[\(list)]}"
            top = try put(Array(text.utf8), ImageFixture.ociIndex, in: path)
        }
        top.extra = ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\"}"
        try write("{\"schemaVersion\":2,\"manifests\":[\(top.descriptor())]}", to: path + "/index.json")
        return OCILayout(path: path, digest: top.digest)
    }

    private struct Entry {
        let mediaType: String
        let digest: OCI.Digest
        let size: Int64
        var extra = ""

        func descriptor() -> String { ImageFixture.descriptor(mediaType, digest, size, extra) }
    }

    private static func image(
        in path: String,
        _ layers: [Int64],
        _ platform: String,
        seed: UInt64
    ) async throws -> Entry {
        var unpacked: [String] = []
        var entries: [Entry] = []
        for (number, size) in layers.enumerated() {
            let content = BlobFixture(seed: seed * 1_000 + UInt64(number), size: size)
            let name = "file-\(seed)-\(number)"
            try Data(content.bytes).write(to: URL(filePath: "\(path)/\(name)"))
            try await run("tar", ["-C", path, "-cf", "\(path)/layer.tar", "--owner=0", "--group=0", name])
            unpacked.append("\"\(OCI.Digest.of(try read(path + "/layer.tar")))\"")
            try await run("gzip", ["-n", "-f", path + "/layer.tar"])
            entries.append(
                try put(read(path + "/layer.tar.gz"), "application/vnd.oci.image.layer.v1.tar+gzip", in: path)
            )
            for leftover in [name, "layer.tar.gz"] { try removeFile("\(path)/\(leftover)") }
        }
        let config =
            "{\"architecture\":\"\(platform)\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":"
            + "[\(unpacked.joined(separator: ","))]}}"
        let configEntry = try put(Array(config.utf8), "application/vnd.oci.image.config.v1+json", in: path)
        let manifest =
            "{\"schemaVersion\":2,\"mediaType\":\"\(ImageFixture.ociManifest)\",\"config\":\(configEntry.descriptor()),"
            + "\"layers\":[\(entries.map { $0.descriptor() }.joined(separator: ","))]}"
        var entry = try put(Array(manifest.utf8), ImageFixture.ociManifest, in: path)
        entry.extra = ",\"platform\":{\"architecture\":\"\(platform)\",\"os\":\"linux\"}"
        return entry
    }

    private static func put(_ bytes: [UInt8], _ mediaType: String, in path: String) throws -> Entry {
        let digest = OCI.Digest.of(bytes)
        try Data(bytes).write(to: URL(filePath: "\(path)/blobs/sha256/\(digest.hex)"))
        return Entry(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
    }

    private static func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

    private static func write(_ text: String, to path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
}
