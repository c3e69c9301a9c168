// SPDX-License-Identifier: Apache-2.0

import Blobs
import Foundation
import Models
import OCI
import PullThrough
import TestSupport
import Testing

@Suite("Sweeping partials", .timeLimit(.minutes(2)))
struct PartialSweeperTests {
    @Test("a partial that can't be opened keeps no other one from being removed")
    func unreadable() async throws {
        try await PullBench.with { bench in
            let folder = try TemporaryDirectory(isInMemory: true)
            let storage = try FileBlobStorage(root: folder.path + "/storage")
            let (digest, generation) = (bench.fetch.digest, Generation())
            try storage.createPartial(digest, generation, expectedBytes: 1).close()
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder.path)/storage/partials/sha256-\(digest.hex).\(Generation())",
                withDestinationPath: "nowhere"
            )
            var sweeper = PartialSweeper(client: bench.client, storage: storage, logger: bench.logger)
            sweeper.orphanAge = .zero
            try await sweeper.runOnce()
            #expect(try storage.openPartial(digest, generation) == nil)
        }
    }
}
