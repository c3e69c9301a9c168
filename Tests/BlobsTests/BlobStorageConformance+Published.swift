// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import Testing

extension BlobStorageConformance {
    /// Objects that are whole and never change.
    static let published: [Check] = [
        Check("a published object is what was appended, at every offset") { storage in
            let blob = SampleBlob()
            let reader = try storage.open(try blob.published(in: storage))
            #expect(try reader.bytes(0..<blob.bytes.count) == blob.bytes)
            #expect(try reader.bytes(123_456..<123_999) == Array(blob.bytes[123_456..<123_999]))
            #expect(try reader.bytes(blob.bytes.count - 3..<blob.bytes.count + 3) == Array(blob.bytes.suffix(3)))
            #expect(try reader.bytes(blob.bytes.count..<blob.bytes.count + 3) == [])
        },
        Check("a published object is no partial any more") { storage in
            let blob = SampleBlob()
            try blob.published(in: storage)
            #expect(try !blob.hasPartial(in: storage))
            #expect(try storage.abandonedPartials(unchangedFor: .zero) == [])
        },
        Check("who followed the partial reads on after it was published") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, 1_000)
            let reader = try #require(try blob.reader(in: storage))
            try blob.complete(writer)
            #expect(try reader.progress() == PartialProgress(storedBytes: blob.size, isVerified: true))
            #expect(try reader.bytes(0..<blob.bytes.count) == blob.bytes)
        },
        Check("a blob of no bytes can be published") { storage in
            let blob = SampleBlob(size: 0)
            let reader = try storage.open(try blob.published(in: storage))
            #expect(try reader.bytes(0..<1) == [])
        },
        Check("digests of any algorithm name objects") { storage in
            let long = SampleBlob(algorithm: .sha512)
            let short = SampleBlob(algorithm: .sha256)
            let reader = try storage.open(try long.published(in: storage))
            #expect(try reader.bytes(0..<long.bytes.count) == long.bytes)
            expect(.missing) { try storage.open(short.placement) }
            let leftover = SampleBlob(seed: 2, algorithm: .sha512)
            try leftover.begin(in: storage, 5).close()
            #expect(try storage.abandonedPartials(unchangedFor: .zero) == [leftover.abandoned])
            #expect(try leftover.resumed(in: storage)?.storedBytes == 5)
        },
        Check("an object that isn't there is missing, by digest and by generation") { storage in
            let blob = SampleBlob()
            try blob.published(in: storage)
            expect(.missing) { try storage.open(SampleBlob(seed: 2).placement) }
            expect(.missing) { try storage.open(SampleBlob().placement) }
        },
        Check("an object of another size than its row says is damaged") { storage in
            let blob = SampleBlob()
            try blob.published(in: storage)
            for size in [0, blob.size - 1, blob.size + 1] {
                let placement = BlobPlacement(digest: blob.digest, generation: blob.generation, sizeBytes: size)
                expect(.damaged) { try storage.open(placement) }
            }
            #expect(throws: Never.self) { try storage.open(blob.placement) }
        },
        Check("removing is final, may be repeated, and leaves those who read alone") { storage in
            let blob = SampleBlob()
            let placement = try blob.published(in: storage)
            let reader = try storage.open(placement)
            try storage.remove(placement)
            try storage.remove(placement)
            expect(.missing) { try storage.open(placement) }
            #expect(try !blob.isLeftover(in: storage))
            #expect(try reader.bytes(0..<blob.bytes.count) == blob.bytes)
        },
        Check("removing one copy leaves the other one") { storage in
            let (old, new) = (SampleBlob(), SampleBlob())
            try old.published(in: storage)
            try new.published(in: storage)
            try storage.remove(old.placement)
            expect(.missing) { try storage.open(old.placement) }
            #expect(try storage.open(new.placement).bytes(0..<new.bytes.count) == new.bytes)
        },
        Check("removing an object leaves the partial of another copy") { storage in
            let (old, new) = (SampleBlob(), SampleBlob())
            try old.published(in: storage)
            let writer = try new.begin(in: storage, 500)
            try storage.remove(old.placement)
            try storage.remove(new.placement)
            #expect(try new.reader(in: storage)?.progress().storedBytes == 500)
            try new.complete(writer)
            #expect(throws: Never.self) { try storage.open(new.placement) }
        },
    ]
}
