// SPDX-License-Identifier: Apache-2.0

package import Models

/// What the collector has to know of a storage: what is in it, part by part.
package protocol BlobInventory: BlobStorage {
    /// Prefixes of digests, one for each part; every digest of an object begins with one of them.
    var parts: [String] { get }

    /// Published objects of a part that nobody has written to for so long. Their sizes are as stored.
    /// - Parameter failed: told of each that can't be looked at; it keeps none of the others from being found
    func objects(
        in part: String,
        unchangedFor age: Duration,
        failed: (BlobStorageError) -> Void
    ) throws -> [BlobPlacement]

    /// Puts an object aside, out of everybody's reach but an operator's; it's no error when it's gone.
    func quarantine(_ placement: BlobPlacement) throws
}
