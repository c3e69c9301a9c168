// SPDX-License-Identifier: Apache-2.0

import Blobs
import Models

/// What became of objects that were to be removed.
struct Removal: Sendable {
    fileprivate(set) var removed: [BlobPlacement] = []
    /// Those that stayed, in the order in which they were given, and why.
    fileprivate(set) var kept: [BlobPlacement] = []
    fileprivate(set) var failures: [BlobStorageError] = []
}

extension BlobStorage {
    /// Removes these, whichever of them can be.
    func removeAll(_ objects: [BlobPlacement]) async throws -> Removal {
        try await BlockingIO.run {
            var removal = Removal()
            for object in objects {
                do {
                    try remove(object)
                    removal.removed.append(object)
                } catch let error as BlobStorageError {
                    removal.kept.append(object)
                    removal.failures.append(error)
                }
            }
            return removal
        }
    }
}
