// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A published object.
final class FileBlobReader: BlobReader {
    private let file: File

    init(file: File) { self.file = file }

    var descriptor: Int32? { file.descriptor }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        try file.read(into: buffer, at: offset)
    }
}

/// A partial as frontends see it.
final class FilePartialReader: PartialReader {
    private let file: File

    init(file: File) { self.file = file }

    var descriptor: Int32? { file.descriptor }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        try file.read(into: buffer, at: offset)
    }

    func progress() throws -> PartialProgress {
        let status = try file.status()
        return PartialProgress(
            storedBytes: status.size,
            isVerified: status.mode == FilePartialWriter.verifiedMode
        )
    }
}
