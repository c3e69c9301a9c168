// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
package import Models
import OCI

/// The folders of the published files, one by one. What is put aside is in `ROOT/quarantine`.
extension FileBlobStorage: BlobInventory {
    package var parts: [String] {
        Digest.Algorithm.allCases.flatMap { algorithm in
            (UInt8.min...UInt8.max).map { "\(algorithm.rawValue):\([$0].hexadecimal)" }
        }
    }

    package func objects(
        in part: String,
        unchangedFor age: Duration,
        failed: (BlobStorageError) -> Void
    ) throws -> [BlobPlacement] {
        let folder = "\(root)/blobs/" + part.replacing(":", with: "/")
        guard let stream = opendir(folder) else {
            if errno == ENOENT { return [] }
            throw BlobStorageError.system("opendir", folder)
        }
        defer { closedir(stream) }
        let algorithm = part.prefix { $0 != ":" }
        var found: [BlobPlacement] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let dot = name.firstIndex(of: "."), dot != name.startIndex,
                let digest = Digest(rawValue: "\(algorithm):\(name[..<dot])"),
                let generation = Generation(name[name.index(after: dot)...])
            else { continue }
            do {
                let status = try File(path: folder + "/" + name, flags: O_RDONLY).status()
                guard status.sinceChange >= age else { continue }
                found.append(BlobPlacement(digest: digest, generation: generation, sizeBytes: status.size))
            } catch let error as BlobStorageError {
                if error.code != .missing { failed(error) }
            }
        }
        return found
    }

    package func quarantine(_ placement: BlobPlacement) throws {
        try Self.makeFolder(root + "/quarantine")
        let source = path(placement.digest, placement.generation)
        let target =
            "\(root)/quarantine/\(placement.digest.algorithm.rawValue)-\(placement.digest.hex).\(placement.generation)"
        guard rename(source, target) == 0 || errno == ENOENT else { throw BlobStorageError.system("rename", source) }
    }
}
