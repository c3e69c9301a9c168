// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models
import OCI
import Testing

extension BlobStorageConformance {
    /// How far a worker came before it died.
    private enum LastStep: CaseIterable {
        case begun, received, complete, verified, published
    }

    private static func dieAfter(_ step: LastStep, _ blob: SampleBlob, in storage: any BlobStorage) throws {
        let counts: [LastStep: Int] = [.begun: 0, .received: 123_456]
        let writer = try blob.begin(in: storage, counts[step] ?? blob.bytes.count)
        // What isn't called is what the death prevented; the storage only sees that the writer is gone.
        if step == .verified || step == .published { try writer.markVerified() }
        if step == .published { try writer.publish() }
        writer.close()
    }

    /// What dead workers leave, and who may have it.
    static let leftovers: [Check] = [
        Check("a partial goes on where its dead writer stopped") { storage in
            let blob = SampleBlob()
            try blob.begin(in: storage, 100_000).close()
            let writer = try #require(try blob.resumed(in: storage))
            #expect(writer.storedBytes == 100_000)
            #expect(writer.generation == blob.generation)
            #expect(try writer.bytes(0..<blob.bytes.count) == Array(blob.bytes[..<100_000]))
            try blob.complete(writer)
            #expect(try storage.open(blob.placement).bytes(0..<blob.bytes.count) == blob.bytes)
        },
        Check("readers of a partial see the next writer's bytes") { storage in
            let blob = SampleBlob()
            try blob.begin(in: storage, 100).close()
            let reader = try #require(try blob.reader(in: storage))
            try blob.complete(try #require(try blob.resumed(in: storage)))
            #expect(try reader.bytes(0..<blob.bytes.count) == blob.bytes)
            #expect(try reader.progress().isVerified)
        },
        Check("a partial that is taken over has to be verified again") { storage in
            let blob = SampleBlob()
            try dieAfter(.verified, blob, in: storage)
            let writer = try #require(try blob.resumed(in: storage))
            #expect(try !writer.progress().isVerified)
            #expect(try blob.reader(in: storage)?.progress().isVerified == false)
        },
        Check("a partial is never taken from a living writer") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, 10)
            expect(.inUse) { try blob.resumed(in: storage) }
            try writer.append(Array(blob.bytes[10..<20]))
            writer.close()
            let second = try #require(try blob.resumed(in: storage))
            expect(.inUse) { try blob.resumed(in: storage) }
            #expect(second.storedBytes == 20)
        },
        Check("an object that its living writer has just published stays published") { storage in
            let blob = SampleBlob()
            let writer = try blob.begin(in: storage, blob.bytes.count)
            try writer.markVerified()
            try writer.publish()
            expect(.inUse) { try blob.resumed(in: storage) }
            #expect(throws: Never.self) { try storage.open(blob.placement) }
            withExtendedLifetime(writer) {}
        },
        Check("whatever step a worker dies after, the next one brings the blob to its end") { storage in
            for (number, step) in LastStep.allCases.enumerated() {
                let blob = SampleBlob(seed: UInt64(number), size: 200_000)
                try dieAfter(step, blob, in: storage)
                let writer = try #require(try blob.resumed(in: storage), "after \(step)")
                #expect(writer.storedBytes <= blob.size)
                try blob.complete(writer)
                #expect(try storage.open(blob.placement).bytes(0..<blob.bytes.count) == blob.bytes, "after \(step)")
                #expect(try !blob.hasPartial(in: storage), "after \(step)")
            }
            #expect(try storage.abandonedPartials(unchangedFor: .zero) == [])
        },
        Check("a worker that dies while it takes a blob over changes nothing") { storage in
            for (number, step) in LastStep.allCases.enumerated() {
                let blob = SampleBlob(seed: UInt64(number), size: 200_000)
                try dieAfter(step, blob, in: storage)
                for _ in 0..<2 { try #require(try blob.resumed(in: storage), "after \(step)").close() }
                try blob.complete(try #require(try blob.resumed(in: storage), "after \(step)"))
                #expect(try storage.open(blob.placement).bytes(0..<blob.bytes.count) == blob.bytes, "after \(step)")
            }
        },
        Check("a published blob that nobody recorded can be discarded after it was taken over") { storage in
            let blob = SampleBlob()
            try dieAfter(.published, blob, in: storage)
            try #require(try blob.resumed(in: storage)).discard()
            expect(.missing) { try storage.open(blob.placement) }
            #expect(try !blob.isLeftover(in: storage))
        },
        Check("partials are abandoned once their writers are gone, and only then") { storage in
            let (dead, living, whole) = (SampleBlob(seed: 1), SampleBlob(seed: 2), SampleBlob(seed: 3))
            try dead.begin(in: storage, 10).close()
            let writer = try living.begin(in: storage, 10)
            try whole.published(in: storage)
            #expect(try storage.abandonedPartials(unchangedFor: .zero) == [dead.abandoned])
            writer.close()
            #expect(try Set(storage.abandonedPartials(unchangedFor: .zero)) == [dead.abandoned, living.abandoned])
            #expect(try storage.abandonedPartials(unchangedFor: .seconds(3_600)) == [], "they are a moment old")
        },
        Check("looking for abandoned partials takes nothing from anybody") { storage in
            let blob = SampleBlob()
            try blob.begin(in: storage, 10).close()
            for _ in 0..<3 { #expect(try storage.abandonedPartials(unchangedFor: .zero) == [blob.abandoned]) }
            #expect(try blob.resumed(in: storage)?.storedBytes == 10)
        },
        Check("an abandoned partial can be removed once") { storage in
            let (blob, other) = (SampleBlob(seed: 1), SampleBlob(seed: 2))
            try blob.begin(in: storage, 10).close()
            try other.begin(in: storage, 10).close()
            #expect(try storage.remove(blob.abandoned))
            #expect(try !storage.remove(blob.abandoned))
            #expect(try !blob.isLeftover(in: storage))
            #expect(try storage.abandonedPartials(unchangedFor: .zero) == [other.abandoned])
        },
        Check("a partial that somebody took over meanwhile isn't removed") { storage in
            let blob = SampleBlob()
            try blob.begin(in: storage, 10).close()
            let abandoned = try #require(try storage.abandonedPartials(unchangedFor: .zero).first)
            let writer = try #require(try blob.resumed(in: storage))
            #expect(try !storage.remove(abandoned))
            try blob.complete(writer)
            #expect(try !storage.remove(abandoned), "it became an object")
            #expect(try storage.open(blob.placement).bytes(0..<blob.bytes.count) == blob.bytes)
        },
    ]
}
