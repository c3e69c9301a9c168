// SPDX-License-Identifier: Apache-2.0

import Blobs
import Foundation
import Glibc
import Models
import OCI
import TestSupport
import Testing

@Suite("File blob storage in trouble", .timeLimit(.minutes(1)))
struct FileTroubleTests {
    // fcntl(2); Glibc's module leaves them out.
    private static let setLease: Int32 = 1_024
    private static let getLease: Int32 = 1_025

    private let folder: TemporaryDirectory
    private let root: String
    private let storage: FileBlobStorage

    init() throws {
        folder = try TemporaryDirectory(isInMemory: true)
        root = folder.path + "/storage"
        storage = try FileBlobStorage(root: root)
    }

    private func partialPath(_ blob: SampleBlob) -> String { blob.partialPath(under: root) }

    /// Makes something that has the name of a file, and can't be opened as one.
    private func block(_ path: String) throws {
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: root)
    }

    @Test("a partial that can't be looked at keeps none of the others from being found")
    func unreadablePartial() throws {
        let (blob, broken) = (SampleBlob(seed: 1), SampleBlob(seed: 2))
        try blob.begin(in: storage, 10).close()
        try block(partialPath(broken))
        var failures: [BlobStorageError.Code] = []
        let found = try storage.abandonedPartials(unchangedFor: .zero) { failures.append($0.code) }
        #expect(found == [blob.abandoned])
        #expect(failures == [.io])
    }

    @Test("an object that can't be looked at keeps none of the others from being found")
    func unreadableObject() throws {
        let blob = SampleBlob()
        try blob.published(in: storage)
        let hex = blob.digest.hex
        try block("\(root)/blobs/sha256/\(hex.prefix(2))/\(hex).\(Generation())")
        var failures: [BlobStorageError.Code] = []
        let found = try storage.objects(in: "sha256:\(hex.prefix(2))", unchangedFor: .zero) { failures.append($0.code) }
        #expect(found == [blob.placement])
        #expect(failures == [.io])
    }

    @Test("a partial that is removed while it is being opened is nobody's")
    func removedMeanwhile() async throws {
        let (storage, first, second) = (storage, SampleBlob(seed: 1), SampleBlob(seed: 2))
        let isResumed = try await remove(first) { try first.resumed(in: storage) != nil }
        #expect(!isResumed)
        let isRemoved = try await remove(second) { try storage.remove(second.abandoned) }
        #expect(!isRemoved, "it was somebody else who removed it")
    }

    /// What `opening` returns when the partial, whose file it opens, goes before it has the file. A lease makes it wait: the
    /// kernel has found the file by its name then, and opens it when the lease is given back.
    private func remove(
        _ blob: SampleBlob,
        during opening: @escaping @Sendable () throws -> Bool
    ) async throws -> Bool {
        try blob.begin(in: storage, 10).close()
        let path = partialPath(blob)
        // Who has a lease is told of the other one by a signal, which ends a process that isn't ready for it.
        signal(SIGIO, SIG_IGN)
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        defer { close(descriptor) }
        // A program that is just being started elsewhere in this process has the file open until it is loaded.
        try await eventually("a lease is given") { fcntl(descriptor, Self.setLease, Int32(F_WRLCK)) == 0 }
        async let result = BlockingIO.run(opening)
        try await eventually("the partial is being opened") { fcntl(descriptor, Self.getLease) != Int32(F_WRLCK) }
        try removeFile(path)
        try #require(fcntl(descriptor, Self.setLease, Int32(F_UNLCK)) == 0)
        return try await result
    }
}
