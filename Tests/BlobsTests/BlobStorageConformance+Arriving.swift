// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import Testing

extension BlobStorageConformance {
    /// Partials, from the first byte to the last.
    static let arriving: [Check] = [
        Check("there is no partial before one is begun") { storage throws in
            let blob = SampleBlob()
            #expect(try !blob.hasPartial(in: storage))
            #expect(try !blob.isLeftover(in: storage))
            #expect(try !blob.hasPartial(in: storage), "asking made one")
        },
        Check("a partial begins empty and can be seen at once") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage)
            #expect(writer.generation == blob.generation)
            #expect(writer.storedBytes == 0)
            let reader = try #require(try blob.reader(in: storage))
            #expect(try reader.progress() == PartialProgress(storedBytes: 0, isVerified: false))
            #expect(try reader.bytes(0..<10) == [])
        },
        Check("another handle reads a partial while it grows") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage)
            let reader = try #require(try blob.reader(in: storage))
            for step in stride(from: 0, to: blob.bytes.count, by: 70_001) {
                let end = min(step + 70_001, blob.bytes.count)
                try writer.append(Array(blob.bytes[step..<end]))
                #expect(writer.storedBytes == end)
                #expect(try reader.progress() == PartialProgress(storedBytes: Int64(end), isVerified: false))
                #expect(try reader.bytes(step..<end) == Array(blob.bytes[step..<end]))
                #expect(try reader.bytes(end - 1..<end + 100) == [blob.bytes[end - 1]], "more than what is there")
            }
            #expect(try writer.progress().storedBytes == blob.size)
            #expect(try writer.bytes(0..<blob.bytes.count) == blob.bytes)
        },
        Check("appending nothing adds nothing") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, 10)
            try writer.append([])
            #expect(writer.storedBytes == 10)
        },
        Check("readers learn that a partial is verified, not before it is") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, blob.bytes.count)
            let reader = try #require(try blob.reader(in: storage))
            #expect(try !reader.progress().isVerified)
            try writer.markVerified()
            #expect(try reader.progress() == PartialProgress(storedBytes: blob.size, isVerified: true))
            #expect(try writer.progress().isVerified)
            let late = try #require(try blob.reader(in: storage))
            #expect(try late.progress().isVerified)
        },
        Check("a partial is no published object") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, blob.bytes.count)
            expect(.missing) { try storage.open(blob.placement) }
            try writer.markVerified()
            expect(.missing) { try storage.open(blob.placement) }
        },
        Check("beginning the same partial again is refused and leaves the first one alone") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, 100)
            #expect(throws: BlobStorageError.self) { try blob.begin(in: storage) }
            #expect(try writer.progress().storedBytes == 100)
            writer.close()
            #expect(throws: BlobStorageError.self) { try blob.begin(in: storage) }
            #expect(try blob.resumed(in: storage)?.storedBytes == 100)
        },
        Check("generations of one digest don't touch each other") { storage in
            let (first, second) = (SampleBlob(), SampleBlob())
            let (one, two) = (try first.begin(in: storage, 10), try second.begin(in: storage, 20))
            #expect(try first.reader(in: storage)?.progress().storedBytes == 10)
            #expect(try second.reader(in: storage)?.progress().storedBytes == 20)
            try one.discard()
            #expect(try !first.hasPartial(in: storage))
            try second.complete(two)
            #expect(try storage.open(second.placement).bytes(0..<second.bytes.count) == second.bytes)
        },
        Check("a blob for which there is no room isn't begun") { storage in
            let blob = SampleBlob()
            expect(.noSpace) {
                try storage.createPartial(blob.digest, blob.generation, expectedBytes: .max)
            }
            #expect(try !blob.hasPartial(in: storage))
            try blob.published(in: storage)
        },
        Check("a discarded partial is gone, and a reader that has it reads on") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, 1_000)
            let reader = try #require(try blob.reader(in: storage))
            try writer.discard()
            #expect(try !blob.hasPartial(in: storage))
            #expect(try !blob.isLeftover(in: storage))
            #expect(try reader.bytes(0..<1_000) == Array(blob.bytes[..<1_000]))
            #expect(try storage.abandonedPartials(unchangedFor: .zero) == [])
        },
        Check("a writer that let go of its partial can't touch it any more") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, 1_000)
            writer.close()
            writer.close()
            #expect(throws: BlobStorageError.self) { try writer.append([1]) }
            #expect(throws: BlobStorageError.self) { try writer.bytes(0..<1) }
            #expect(throws: BlobStorageError.self) { try writer.progress() }
            #expect(throws: BlobStorageError.self) { try writer.markVerified() }
            #expect(throws: BlobStorageError.self) { try writer.publish() }
            #expect(throws: BlobStorageError.self) { try writer.discard() }
            #expect(writer.descriptor == nil)
            let reader = try #require(try blob.reader(in: storage))
            #expect(try reader.progress() == PartialProgress(storedBytes: 1_000, isVerified: false))
        },
    ]
}
