// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import TestSupport
import Testing

/// What every blob storage promises, whatever it keeps bytes in.
///
/// The suite of a storage runs each check on a storage of its own:
///
///     @Test("keeps the promises of every blob storage", arguments: BlobStorageConformance.checks)
///     func conformance(_ check: BlobStorageConformance.Check) throws { try check.run(storage) }
enum BlobStorageConformance {
    struct Check: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let run: @Sendable (any BlobStorage) throws -> Void

        init(_ sentence: String, _ run: @escaping @Sendable (any BlobStorage) throws -> Void) {
            testDescription = sentence
            self.run = run
        }
    }

    static let checks = arriving + published + leftovers
}

/// A blob that a check lets arrive.
struct SampleBlob: Sendable {
    let bytes: [UInt8]
    let digest: Digest
    let generation = Generation()

    init(seed: UInt64 = 1, size: Int64 = 300_000, algorithm: Digest.Algorithm = .sha256) {
        let fixture = BlobFixture(seed: seed, size: size)
        bytes = fixture.bytes
        digest = fixture.digest(algorithm)
    }

    var size: Int64 { Int64(bytes.count) }

    var placement: BlobPlacement { BlobPlacement(digest: digest, generation: generation, sizeBytes: size) }

    /// Where file storage under that root has its partial.
    func partialPath(under root: String) -> String {
        "\(root)/partials/\(digest.algorithm.rawValue)-\(digest.hex).\(generation)"
    }

    var abandoned: AbandonedPartial { AbandonedPartial(digest: digest, generation: generation) }

    /// Begins the partial and adds its first bytes.
    func begin(in storage: any BlobStorage, _ count: Int = 0) throws -> any PartialWriter {
        let writer = try storage.createPartial(digest, generation, expectedBytes: size)
        try writer.append(Array(bytes[..<count]))
        return writer
    }

    /// Adds what is missing, and does everything that comes after.
    func complete(_ writer: any PartialWriter) throws {
        try writer.append(Array(bytes[Int(writer.storedBytes)...]))
        try writer.markVerified()
        try writer.publish()
        writer.close()
    }

    @discardableResult
    func published(in storage: any BlobStorage) throws -> BlobPlacement {
        try complete(try begin(in: storage))
        return placement
    }

    func reader(in storage: any BlobStorage) throws -> (any PartialReader)? {
        try storage.openPartial(digest, generation)
    }

    func resumed(in storage: any BlobStorage) throws -> (any PartialWriter)? {
        try storage.resumePartial(digest, generation, expectedBytes: Int64(bytes.count))
    }

    func hasPartial(in storage: any BlobStorage) throws -> Bool { try reader(in: storage) != nil }

    func isLeftover(in storage: any BlobStorage) throws -> Bool { try resumed(in: storage) != nil }
}

extension BlobReader {
    /// As many bytes of the range as there are.
    func bytes(_ range: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            count = try read(into: UnsafeMutableRawBufferPointer(buffer), at: Int64(range.lowerBound))
        }
    }
}

extension PartialWriter {
    func append(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try append($0) }
    }
}

extension BlobStorage {
    /// Throws when one of them can't be looked at.
    func abandonedPartials(unchangedFor age: Duration) throws -> [AbandonedPartial] {
        var failures: [BlobStorageError] = []
        let found = try abandonedPartials(unchangedFor: age) { failures.append($0) }
        if let first = failures.first { throw first }
        return found
    }
}

/// Expects the body to throw a storage error of this code.
func expect<Result>(
    _ code: BlobStorageError.Code,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Result
) {
    let error = #expect(throws: BlobStorageError.self, sourceLocation: sourceLocation) { _ = try body() }
    #expect(error == nil || error?.code == code, sourceLocation: sourceLocation)
}
