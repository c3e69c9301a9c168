// SPDX-License-Identifier: Apache-2.0

import Glibc
import Models
import Synchronization

/// The one writer of a partial; it has the file's lock.
final class FilePartialWriter: PartialWriter {
    static let arrivingMode: mode_t = 0o640
    static let verifiedMode: mode_t = 0o440

    let generation: Generation
    private let partialPath: String
    private let finalPath: String
    private let stored: Atomic<Int64>
    /// Nil once closed: the lock goes with the descriptor.
    private let file: Mutex<File?>

    init(file: File, partialPath: String, generation: Generation, storedBytes: Int64, finalPath: String) {
        self.file = Mutex(file)
        self.partialPath = partialPath
        self.generation = generation
        self.finalPath = finalPath
        self.stored = Atomic(storedBytes)
    }

    var storedBytes: Int64 { stored.load(ordering: .acquiring) }

    var descriptor: Int32? { file.withLock { $0?.descriptor } }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        try open().read(into: buffer, at: offset)
    }

    func progress() throws -> PartialProgress {
        PartialProgress(storedBytes: storedBytes, isVerified: try open().status().mode == Self.verifiedMode)
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        try open().write(bytes, at: storedBytes)
        stored.add(Int64(bytes.count), ordering: .releasing)
    }

    func markVerified() throws {
        try open().setMode(Self.verifiedMode)
    }

    func giveBackRoom() throws {
        try open().truncate(to: storedBytes)
    }

    /// Order matters for a crash at any point: bytes durable, then the name, then the folder that holds the name.
    func publish() throws {
        let file = try open()
        try file.sync()
        let folder = String(finalPath[..<(finalPath.lastIndex(of: "/") ?? finalPath.startIndex)])
        let parent = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
        try FileBlobStorage.makeFolder(parent)
        try FileBlobStorage.makeFolder(folder)
        guard rename(partialPath, finalPath) == 0 else { throw BlobStorageError.system("rename", partialPath) }
        for path in [folder, parent] {
            try File(path: path, flags: O_RDONLY | O_DIRECTORY).sync()
        }
    }

    func discard() throws {
        _ = try open()
        guard unlink(partialPath) == 0 || errno == ENOENT else { throw BlobStorageError.system("unlink", partialPath) }
        close()
    }

    func close() {
        file.withLock { $0 = nil }
    }

    private func open() throws -> File {
        guard let file = file.withLock({ $0 }) else {
            throw BlobStorageError(.io, "the partial of \(finalPath) is closed")
        }
        return file
    }
}
