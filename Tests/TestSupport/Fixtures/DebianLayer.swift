// SPDX-License-Identifier: Apache-2.0

import Foundation
import OCI

/// A layer as Debian's images have them: a gzip tar with the list of packages of this machine.
package struct DebianLayer: Sendable {
    /// Installed here, as the list says.
    package let packages: [DebianPackage]
    package let blob: ImageFixture.Blob

    /// - Parameter mark: makes layers differ
    package static func make(mark: String = "") async throws -> DebianLayer {
        let status = try String(contentsOfFile: "/var/lib/dpkg/status", encoding: .utf8)
        let folder = try TemporaryDirectory()
        let root = folder.path + "/root"
        try FileManager.default.createDirectory(atPath: root + "/var/lib/dpkg", withIntermediateDirectories: true)
        try status.write(toFile: root + "/var/lib/dpkg/status", atomically: true, encoding: .utf8)
        try mark.write(toFile: root + "/mark", atomically: true, encoding: .utf8)
        let file = folder.path + "/layer.tar.gz"
        try await run("tar", ["-C", root, "-czf", file, "--owner=0", "--group=0", "mark", "var"])
        let bytes = Array(try Data(contentsOf: URL(filePath: file)))
        return DebianLayer(packages: DebianPackage.parse(status), blob: .bytes(bytes))
    }
}

extension ImageFixture.Blob {
    package static func bytes(_ bytes: [UInt8]) -> ImageFixture.Blob { .literal(bytes, .of(bytes)) }

    /// A tar with nothing but a file of this content.
    package static func tar(_ content: String) async throws -> ImageFixture.Blob {
        let folder = try TemporaryDirectory()
        try content.write(toFile: folder.path + "/file", atomically: true, encoding: .utf8)
        let file = folder.path + "/layer.tar"
        try await run("tar", ["-C", folder.path, "-cf", file, "--owner=0", "--group=0", "file"])
        return .bytes(Array(try Data(contentsOf: URL(filePath: file))))
    }
}
