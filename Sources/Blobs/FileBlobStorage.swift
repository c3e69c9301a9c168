// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
package import Models
package import OCI

/// Blobs as files of one file system, which all frontends and fetchers of a machine (or of a shared mount) see.
///
///     ROOT/blobs/sha256/ab/<hex>.<generation>     published
///     ROOT/partials/sha256-<hex>.<generation>     arriving
///
/// A partial belongs to the process that holds its `flock`: the kernel lets go of it when the process dies, however it
/// dies, so a partial is taken over exactly when nobody can write to it any more. A verified partial is read-only by
/// its mode, which readers see in the same `fstat` that tells them its size.
package struct FileBlobStorage: BlobStorage {
    let root: String

    /// Makes the folders. Throws ``BlobStorageError`` when it can't.
    package init(root: String) throws {
        self.root = root
        for folder in [root, root + "/blobs", root + "/partials"] { try Self.makeFolder(folder) }
    }

    package func open(_ placement: BlobPlacement) throws -> any BlobReader {
        let path = path(placement.digest, placement.generation)
        let file = try File(path: path, flags: O_RDONLY)
        let size = try file.status().size
        guard size == placement.sizeBytes else {
            throw BlobStorageError(.damaged, "\(path) has \(size) of \(placement.sizeBytes) bytes")
        }
        return FileBlobReader(file: file)
    }

    package func openPartial(_ digest: Digest, _ generation: Generation) throws -> (any PartialReader)? {
        do {
            return FilePartialReader(file: try File(path: partialPath(digest, generation), flags: O_RDONLY))
        } catch let error as BlobStorageError where error.code == .missing {
            return nil
        }
    }

    package func createPartial(
        _ digest: Digest,
        _ generation: Generation,
        expectedBytes: Int64
    ) throws -> any PartialWriter {
        let path = partialPath(digest, generation)
        let file = try File(path: path, flags: O_RDWR | O_CREAT | O_EXCL, mode: FilePartialWriter.arrivingMode)
        guard try file.lock() else { throw BlobStorageError(.inUse, "\(path) was taken while it was made") }
        do {
            try file.reserve(expectedBytes)
        } catch {
            try Self.unlink(path)
            throw error
        }
        return FilePartialWriter(
            file: file,
            partialPath: path,
            generation: generation,
            storedBytes: 0,
            finalPath: self.path(digest, generation)
        )
    }

    package func resumePartial(
        _ digest: Digest,
        _ generation: Generation,
        expectedBytes: Int64
    ) throws -> (any PartialWriter)? {
        let path = partialPath(digest, generation)
        let finalPath = self.path(digest, generation)
        guard let file = try openLeftover(path) ?? openLeftover(finalPath) else { return nil }
        guard try file.lock() else { throw BlobStorageError(.inUse, "\(path) is being written") }
        // It may have been removed between its opening and its locking.
        guard try !file.status().isUnlinked else { return nil }
        // A worker that died between publishing the file and recording it left it under its final name. Only the lock
        // tells that it's dead.
        guard rename(finalPath, path) == 0 || errno == ENOENT else {
            throw BlobStorageError.system("rename", finalPath)
        }
        try file.setMode(FilePartialWriter.arrivingMode)
        try file.reserve(expectedBytes)
        return FilePartialWriter(
            file: file,
            partialPath: path,
            generation: generation,
            storedBytes: try file.status().size,
            finalPath: finalPath
        )
    }

    package func remove(_ placement: BlobPlacement) throws {
        try Self.unlink(path(placement.digest, placement.generation))
    }

    package func abandonedPartials(
        unchangedFor age: Duration,
        failed: (BlobStorageError) -> Void
    ) throws -> [AbandonedPartial] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: root + "/partials")
        } catch {
            throw BlobStorageError(.io, "\(root)/partials can't be listed: \(error)")
        }
        return try names.compactMap { name in
            guard let partial = Self.partial(named: name) else { return nil }
            do {
                guard let file = try openLeftover(root + "/partials/" + name), try file.status().sinceChange >= age,
                    try file.lock()
                else { return nil }
                return partial
            } catch let error as BlobStorageError {
                failed(error)
                return nil
            }
        }
    }

    package func remove(_ partial: AbandonedPartial) throws -> Bool {
        let path = partialPath(partial.digest, partial.generation)
        // Removed under the lock: a writer that takes the partial over meanwhile holds it, and keeps it.
        guard let file = try openLeftover(path), try file.lock(), try !file.status().isUnlinked else { return false }
        try Self.unlink(path)
        return true
    }

    // MARK: - Names

    func path(_ digest: Digest, _ generation: Generation) -> String {
        "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex.prefix(2))/\(digest.hex).\(generation)"
    }

    private func partialPath(_ digest: Digest, _ generation: Generation) -> String {
        "\(root)/partials/\(digest.algorithm.rawValue)-\(digest.hex).\(generation)"
    }

    private static func partial(named name: String) -> AbandonedPartial? {
        guard let dot = name.lastIndex(of: "."), let dash = name.firstIndex(of: "-"), dash < dot,
            let digest = Digest(rawValue: "\(name[..<dash]):\(name[name.index(after: dash)..<dot])"),
            let generation = Generation(name[name.index(after: dot)...])
        else { return nil }
        return AbandonedPartial(digest: digest, generation: generation)
    }

    // MARK: - Files

    private func openLeftover(_ path: String) throws -> File? {
        do {
            return try File(path: path, flags: O_RDWR)
        } catch let error as BlobStorageError where error.code == .missing {
            return nil
        }
    }

    private static func unlink(_ path: String) throws {
        guard Glibc.unlink(path) == 0 || errno == ENOENT else { throw BlobStorageError.system("unlink", path) }
    }

    /// Makes one folder; it's no error when it exists.
    static func makeFolder(_ path: String) throws {
        guard mkdir(path, 0o750) == 0 || errno == EEXIST else { throw BlobStorageError.system("mkdir", path) }
    }
}
