// SPDX-License-Identifier: Apache-2.0

import Blobs
import Dispatch
import Foundation
import Glibc
import Models
import OCI
import TestSupport
import Testing

@Suite("File blob storage")
struct FileBlobStorageTests {
    private let folder: TemporaryDirectory
    private let root: String
    private let storage: FileBlobStorage

    init() throws {
        folder = try TemporaryDirectory(isInMemory: true)
        root = folder.path + "/storage"
        storage = try FileBlobStorage(root: root)
    }

    private func objectPath(_ blob: SampleBlob) -> String {
        let algorithm = blob.digest.algorithm.rawValue
        return "\(root)/blobs/\(algorithm)/\(blob.digest.hex.prefix(2))/\(blob.digest.hex).\(blob.generation)"
    }

    private func partialPath(_ blob: SampleBlob) -> String { blob.partialPath(under: root) }

    private func mode(_ path: String) throws -> mode_t {
        var status = stat()
        try #require(stat(path, &status) == 0, "\(path) isn't there")
        return status.st_mode & 0o777
    }

    /// What the file takes of the device.
    private func usedBytes(_ path: String) throws -> Int64 {
        var status = stat()
        try #require(stat(path, &status) == 0, "\(path) isn't there")
        return Int64(status.st_blocks) * 512
    }

    private func files(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root + "/" + path).sorted()
    }

    @Test("keeps the promises of every blob storage", arguments: BlobStorageConformance.checks)
    func conformance(_ check: BlobStorageConformance.Check) throws {
        try check.run(storage)
    }

    @Test("names carry digest and generation, and folders are made when they are needed")
    func names() throws {
        #expect(try files("") == ["blobs", "partials"])
        for algorithm in Digest.Algorithm.allCases {
            let blob = SampleBlob(algorithm: algorithm)
            let writer = try blob.begin(in: storage, 10)
            #expect(try files("partials") == ["\(algorithm.rawValue)-\(blob.digest.hex).\(blob.generation)"])
            #expect(try !files("blobs").contains(algorithm.rawValue))
            try blob.complete(writer)
            #expect(try files("partials") == [])
            let place = "blobs/\(algorithm.rawValue)/\(blob.digest.hex.prefix(2))"
            #expect(try files(place) == ["\(blob.digest.hex).\(blob.generation)"])
        }
    }

    @Test("room that was reserved can be given back, and what is stored stays")
    func givenBack() throws {
        let blob = SampleBlob(size: 4_194_304)
        let writer = try blob.begin(in: storage, 10_000)
        #expect(try usedBytes(partialPath(blob)) >= blob.size)
        try writer.giveBackRoom()
        #expect(try usedBytes(partialPath(blob)) < 100_000)
        #expect(try writer.bytes(0..<20_000) == Array(blob.bytes[..<10_000]))
        writer.close()
        let next = try #require(try blob.resumed(in: storage))
        #expect(try usedBytes(partialPath(blob)) >= blob.size, "who goes on has it again")
        try blob.complete(next)
        #expect(try storage.open(blob.placement).bytes(0..<blob.bytes.count) == blob.bytes)
    }

    @Test("a partial is writable by its mode until it is verified, and an object never is")
    func modes() throws {
        let blob = SampleBlob()
        let writer = try blob.begin(in: storage, blob.bytes.count)
        #expect(try mode(partialPath(blob)) == 0o640)
        try writer.markVerified()
        #expect(try mode(partialPath(blob)) == 0o440)
        try writer.publish()
        #expect(try mode(objectPath(blob)) == 0o440)
        writer.close()
        let second = try #require(try blob.resumed(in: storage))
        #expect(try mode(partialPath(blob)) == 0o640)
        try blob.complete(second)
        #expect(try mode(objectPath(blob)) == 0o440)
    }

    @Test("readers have a descriptor to send from")
    func descriptors() throws {
        let blob = SampleBlob()
        let writer = try blob.begin(in: storage, 10)
        #expect(writer.descriptor != nil)
        let arriving = try #require(try blob.reader(in: storage))
        #expect(arriving.descriptor != nil)
        try blob.complete(writer)
        let reader = try storage.open(blob.placement)
        let descriptor = try #require(reader.descriptor)
        #expect(fcntl(descriptor, F_GETFL) & O_ACCMODE == O_RDONLY)
        #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0, "a program that is started would inherit it")
    }

    @Test("processes share what is under one root")
    func shared() throws {
        let other = try FileBlobStorage(root: root)
        let blob = SampleBlob()
        let writer = try blob.begin(in: storage, 100)
        #expect(try blob.reader(in: other)?.progress().storedBytes == 100)
        expect(.inUse) { try blob.resumed(in: other) }
        #expect(try other.abandonedPartials(unchangedFor: .zero) == [])
        #expect(try !other.remove(blob.abandoned))
        writer.close()
        try blob.complete(try #require(try blob.resumed(in: other)))
        #expect(try storage.open(blob.placement).bytes(0..<blob.bytes.count) == blob.bytes)
    }

    @Test("a partial is as old as its last byte")
    func age() throws {
        let (old, young) = (SampleBlob(seed: 1), SampleBlob(seed: 2))
        try old.begin(in: storage, 10).close()
        try young.begin(in: storage, 10).close()
        let twoHoursAgo = Date(timeIntervalSinceNow: -7_200)
        try FileManager.default.setAttributes([.modificationDate: twoHoursAgo], ofItemAtPath: partialPath(old))
        #expect(try storage.abandonedPartials(unchangedFor: .seconds(3_600)) == [old.abandoned])
        #expect(try storage.abandonedPartials(unchangedFor: .seconds(10_000)) == [])
        #expect(try storage.abandonedPartials(unchangedFor: .zero).count == 2)
        let writer = try #require(try old.resumed(in: storage))
        #expect(try storage.abandonedPartials(unchangedFor: .seconds(3_600)) == [], "somebody writes it")
        try writer.append([1])
        writer.close()
        #expect(try storage.abandonedPartials(unchangedFor: .seconds(3_600)) == [])
    }

    @Test("files that aren't partials are left alone")
    func foreignFiles() throws {
        let blob = SampleBlob()
        try blob.begin(in: storage, 10).close()
        let hex = blob.digest.hex
        let names = [
            "README", ".nfs0001", "sha256-\(hex)", "sha256-\(hex).1", "sha256-\(hex.dropLast()).\(Generation())",
            "sha1-\(hex).\(Generation())", "sha256-\(hex).\(Generation()).tmp", "sha256.\(Generation())",
        ]
        for name in names {
            try #require(FileManager.default.createFile(atPath: "\(root)/partials/\(name)", contents: Data([1])))
        }
        #expect(try storage.abandonedPartials(unchangedFor: .zero) == [blob.abandoned])
        #expect(try storage.remove(blob.abandoned))
        #expect(try files("partials") == names.sorted())
    }

    @Test("links are followed neither to objects nor to partials")
    func links() throws {
        let (secret, blob) = (folder.path + "/secret", SampleBlob(size: 6))
        try #require(FileManager.default.createFile(atPath: secret, contents: Data("secret".utf8)))
        try blob.published(in: storage)
        try FileManager.default.removeItem(atPath: objectPath(blob))
        try FileManager.default.createSymbolicLink(atPath: objectPath(blob), withDestinationPath: secret)
        expect(.io) { try storage.open(blob.placement) }
        try FileManager.default.removeItem(atPath: objectPath(blob))
        try FileManager.default.createSymbolicLink(atPath: partialPath(blob), withDestinationPath: secret)
        expect(.io) { try blob.reader(in: storage) }
        expect(.io) { try blob.resumed(in: storage) }
        expect(.io) { try blob.begin(in: storage) }
        #expect(try mode(secret) & 0o222 == 0o200, "its mode was changed")
    }

    @Test("bytes that are cut off or added behind our back are found out")
    func damage() throws {
        let blob = SampleBlob()
        try blob.published(in: storage)
        try #require(chmod(objectPath(blob), 0o640) == 0)
        for size in [blob.size - 1, blob.size + 1] {
            try #require(truncate(objectPath(blob), off_t(size)) == 0)
            expect(.damaged) { try storage.open(blob.placement) }
        }
        try FileManager.default.removeItem(atPath: objectPath(blob))
        expect(.missing) { try storage.open(blob.placement) }
    }

    @Test("a root that can't be used is an error that names it")
    func unusableRoot() throws {
        expect(.missing) { try FileBlobStorage(root: folder.path + "/absent/storage") }
        let file = folder.path + "/file"
        try #require(FileManager.default.createFile(atPath: file, contents: nil))
        let error = #expect(throws: BlobStorageError.self) { _ = try FileBlobStorage(root: file) }
        #expect(error?.code == .io)
        #expect(error?.message.contains(file) == true)
        #expect(throws: Never.self) { try FileBlobStorage(root: root) }
    }

    @Test("a folder that vanished is an error, not an empty one")
    func vanishedFolder() throws {
        let blob = SampleBlob()
        let writer = try blob.begin(in: storage, 10)
        try FileManager.default.removeItem(atPath: root + "/partials")
        expect(.io) { try storage.abandonedPartials(unchangedFor: .zero) }
        expect(.missing) { try writer.publish() }
        expect(.missing) { try SampleBlob(seed: 2).begin(in: storage) }
    }
}

@Suite("Blocking I/O")
struct BlockingIOTests {
    @Test("runs the call elsewhere and hands back what it returns or throws")
    func results() async throws {
        #expect(try await BlockingIO.run { 42 } == 42)
        await #expect(throws: TestSupportError.self) { try await BlockingIO.run { throw TestSupportError("broken") } }
    }

    @Test("calls that wait for each other don't hinder each other")
    func concurrency() async throws {
        let (first, second) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        async let one = BlockingIO.run {
            first.signal()
            return second.wait(timeout: .now() + 60)
        }
        async let two = BlockingIO.run {
            second.signal()
            return first.wait(timeout: .now() + 60)
        }
        #expect(try await one == .success)
        #expect(try await two == .success)
    }
}
