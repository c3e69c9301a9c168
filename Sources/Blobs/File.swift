// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Synchronization

/// An open file. Closed when the last one who uses it lets go.
final class File: Sendable {
    struct Status {
        let size: Int64
        let mode: mode_t
        let sinceChange: Duration
        /// No name leads to the file any more.
        let isUnlinked: Bool
    }

    let descriptor: Int32
    private let isLocked = Atomic(false)
    let path: String

    /// Throws ``BlobStorageError``. A file opened for writing that is read-only by mode opens for root and for its owner
    /// through a short change of mode, since that mode says "verified", not "protected".
    init(path: String, flags: Int32, mode: mode_t = 0) throws {
        var descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode)
        if descriptor < 0, errno == EACCES, flags & O_RDWR != 0, chmod(path, FilePartialWriter.arrivingMode) == 0 {
            descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode)
        }
        guard descriptor >= 0 else { throw BlobStorageError.system("open", path) }
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        // Said, not left to closing: a process that is being started at this moment still shares the file until it runs
        // its own program, and would keep the lock for as long.
        if isLocked.load(ordering: .relaxed) { _ = flock(descriptor, LOCK_UN) }
        Glibc.close(descriptor)
    }

    func status() throws -> Status {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw BlobStorageError.system("fstat", path) }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Status(
            size: Int64(status.st_size),
            mode: status.st_mode & 0o777,
            sinceChange: .seconds(max(0, Int64(now.tv_sec) - Int64(status.st_mtim.tv_sec))),
            isUnlinked: status.st_nlink == 0
        )
    }

    /// Reads until the buffer is full or the file ends.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        var total = 0
        while total < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[total...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(total))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw BlobStorageError.system("read", path)
            }
            total += count
        }
        return total
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws {
        var total = 0
        while total < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[total...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(total))
            if count < 0 {
                if errno == EINTR { continue }
                throw BlobStorageError.system("write", path)
            }
            total += count
        }
    }

    /// Takes the exclusive lock, which lasts until the file is closed. False when another open file has it.
    func lock() throws -> Bool {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return false }
            guard errno == EINTR else { throw BlobStorageError.system("flock", path) }
        }
        isLocked.store(true, ordering: .relaxed)
        return true
    }

    /// Reserves the device's room for so many bytes; the file's size stays what it is. Writing into reserved room costs
    /// half of what writing into none does. Throws ``BlobStorageError`` `noSpace` when there isn't enough, and reserves nothing
    /// then.
    func reserve(_ bytes: Int64) throws {
        guard bytes > 0 else { return }
        while clinux_fallocate(descriptor, CLINUX_KEEP_SIZE, 0, bytes) != 0 {
            switch errno {
            case EINTR: continue
            // Some file systems can't: there, at least what is free now is compared.
            case EOPNOTSUPP: return try checkRoom(for: bytes - status().size)
            case EFBIG: throw BlobStorageError(.noSpace, "\(path) can't have \(bytes) bytes on this device")
            default:
                let error = BlobStorageError.system("fallocate", path)
                // Some file systems leave what there was of room with a file that nobody can complete.
                try truncate(to: status().size)
                throw error
            }
        }
    }

    /// Ends the file there; room that was reserved beyond it is given back, even where its size stays the same.
    func truncate(to bytes: Int64) throws {
        guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw BlobStorageError.system("ftruncate", path) }
    }

    private func checkRoom(for bytes: Int64) throws {
        var device = statvfs()
        guard fstatvfs(descriptor, &device) == 0 else { throw BlobStorageError.system("fstatvfs", path) }
        let (free, isOverflow) = UInt64(device.f_bavail).multipliedReportingOverflow(by: UInt64(device.f_frsize))
        guard isOverflow || free >= UInt64(max(0, bytes)) else {
            throw BlobStorageError(.noSpace, "\(path) needs \(bytes) bytes, the device has \(free)")
        }
    }

    func setMode(_ mode: mode_t) throws {
        guard fchmod(descriptor, mode) == 0 else { throw BlobStorageError.system("fchmod", path) }
    }

    /// Makes the bytes durable. A failure means that they may be lost: never try again on the same file.
    func sync() throws {
        guard fsync(descriptor) == 0 else { throw BlobStorageError.system("fsync", path) }
    }
}
