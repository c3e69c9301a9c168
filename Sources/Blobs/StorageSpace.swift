// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Room that a storage has.
package struct StorageSpace: Sendable, Hashable {
    /// Where, for people.
    package let place: String
    package let freeBytes: Int64
    package let totalBytes: Int64
    /// Whether this process may write there.
    package let isWritable: Bool

    package init(place: String, freeBytes: Int64, totalBytes: Int64, isWritable: Bool) {
        self.place = place
        self.freeBytes = freeBytes
        self.totalBytes = totalBytes
        self.isWritable = isWritable
    }
}

extension FileBlobStorage {
    /// Looks whether the storage works: lists a folder, and for a writer makes a file and removes it again.
    /// - Throws: ``BlobStorageError`` when it doesn't. Takes as long as the device does.
    package func check(isWriter: Bool) async throws {
        try await BlockingIO.run { try look(isWriter: isWriter) }
    }

    private func look(isWriter: Bool) throws {
        guard let folder = opendir(root + "/blobs") else { throw BlobStorageError.system("opendir", root + "/blobs") }
        closedir(folder)
        guard isWriter else { return }
        var path = Array((root + "/.check-XXXXXX").utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor != -1 else { throw BlobStorageError.system("mkstemp", root) }
        defer {
            close(descriptor)
            unlink(path)
        }
        guard write(descriptor, "x", 1) == 1 else { throw BlobStorageError.system("write", root) }
    }

    /// Asks the file system. Throws ``BlobStorageError``.
    package func space() throws -> StorageSpace {
        var information = statvfs()
        guard statvfs(root, &information) == 0 else {
            throw BlobStorageError(.io, "\(root): \(String(cString: strerror(errno)))")
        }
        let block = Int64(information.f_frsize)
        return StorageSpace(
            place: root,
            freeBytes: Int64(information.f_bavail) * block,
            totalBytes: Int64(information.f_blocks) * block,
            isWritable: access(root, W_OK) == 0
        )
    }
}
