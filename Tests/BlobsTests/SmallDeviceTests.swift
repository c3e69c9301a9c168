// SPDX-License-Identifier: Apache-2.0

import Blobs
import Glibc
import Models
import OCI
import TestSupport
import Testing

/// A file system of 16 MiB. Those in memory take back what they can't complete; this one doesn't.
private final class SmallDevice: Sendable {
    static let isPossible =
        geteuid() == 0 && access("/dev/loop-control", R_OK | W_OK) == 0 && access("/sbin/mkfs.ext4", X_OK) == 0

    let path: String
    private let folder: TemporaryDirectory

    init() async throws {
        folder = try TemporaryDirectory()
        path = folder.path + "/mounted"
        try await run(
            "sh",
            [
                "-c",
                """
                cd '\(folder.path)' && truncate --size=16M device && /sbin/mkfs.ext4 -q -m 0 device \
                    && mkdir mounted && mount -o loop device mounted
                """,
            ]
        )
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }
}

@Suite("File blob storage on a small device", .timeLimit(.minutes(1)), .enabled(if: SmallDevice.isPossible))
struct SmallDeviceTests {
    @Test("who goes on with a blob that finds no room leaves what there is to others")
    func noRoom() async throws {
        let device = try await SmallDevice()
        let storage = try FileBlobStorage(root: device.path + "/storage")
        let blob = SampleBlob()
        let writer = try storage.createPartial(blob.digest, blob.generation, expectedBytes: 20_000)
        try writer.append(Array(blob.bytes[..<10_000]))
        writer.close()
        let error = #expect(throws: BlobStorageError.self) {
            _ = try storage.resumePartial(blob.digest, blob.generation, expectedBytes: 64 << 20)
        }
        #expect(error?.code == .noSpace)
        var status = statvfs()
        #expect(statvfs(device.path, &status) == 0)
        #expect(Int64(status.f_bavail) * Int64(status.f_frsize) > 8 << 20)
        let next = try #require(try storage.resumePartial(blob.digest, blob.generation, expectedBytes: 20_000))
        #expect(next.storedBytes == 10_000)
        next.close()
        withExtendedLifetime(device) {}
    }
}
