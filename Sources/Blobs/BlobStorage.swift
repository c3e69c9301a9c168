// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI

/// Where blobs' bytes are. Objects are named by digest and generation and never change once published.
///
/// Calls may block on the device for a moment; none of them waits for anything else.
package protocol BlobStorage: Sendable {
    /// Opens a published object. Throws ``BlobStorageError`` `missing` or `damaged` when row and object disagree.
    func open(_ placement: BlobPlacement) throws -> any BlobReader

    /// Opens what has arrived of a blob. Nil when there is no such partial (yet, or any more).
    func openPartial(_ digest: Digest, _ generation: Generation) throws -> (any PartialReader)?

    /// Begins a partial. Throws ``BlobStorageError`` `noSpace` when there is no room for `expectedBytes`.
    func createPartial(_ digest: Digest, _ generation: Generation, expectedBytes: Int64) throws -> any PartialWriter

    /// Takes over a partial that a dead worker left, even one that it had finished but not recorded. Nil when there is
    /// none. Throws ``BlobStorageError`` `inUse` while its writer lives, `noSpace` when there is no room for the rest.
    func resumePartial(
        _ digest: Digest,
        _ generation: Generation,
        expectedBytes: Int64
    ) throws -> (any PartialWriter)?

    /// Removes a published object; it's no error when it's gone already.
    func remove(_ placement: BlobPlacement) throws

    /// Partials that nobody writes and that haven't changed for so long.
    /// - Parameter failed: told of each that can't be looked at; it keeps none of the others from being found
    func abandonedPartials(
        unchangedFor age: Duration,
        failed: (BlobStorageError) -> Void
    ) throws -> [AbandonedPartial]

    /// Removes such a partial unless somebody took it over meanwhile. Returns whether it went.
    @discardableResult
    func remove(_ partial: AbandonedPartial) throws -> Bool
}

package struct AbandonedPartial: Sendable, Hashable {
    package let digest: Digest
    package let generation: Generation

    package init(digest: Digest, generation: Generation) {
        self.digest = digest
        self.generation = generation
    }
}

/// Bytes that can be read at any offset. Reading goes on when the object is removed meanwhile.
package protocol BlobReader: AnyObject, Sendable {
    /// A descriptor to send from without copying; nil when the storage has none. Owned by the reader.
    var descriptor: Int32? { get }

    /// Reads up to the buffer's size at the offset; 0 at the end of what is there.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int
}

/// A blob that is arriving.
package protocol PartialReader: BlobReader {
    /// How far it has come. Cheap: asked every few milliseconds.
    func progress() throws -> PartialProgress
}

package struct PartialProgress: Sendable, Hashable {
    /// Bytes from the start that can be read.
    package let storedBytes: Int64
    /// The whole is there and has the digest.
    package let isVerified: Bool

    package init(storedBytes: Int64, isVerified: Bool) {
        self.storedBytes = storedBytes
        self.isVerified = isVerified
    }
}

/// The one writer of a partial. It holds the partial until it is closed, published or the process ends.
package protocol PartialWriter: PartialReader {
    var generation: Generation { get }
    /// Bytes that are stored.
    var storedBytes: Int64 { get }
    /// Adds bytes at the end. Throws ``BlobStorageError``.
    func append(_ bytes: UnsafeRawBufferPointer) throws
    /// Tells readers that the digest is right: they may have the last bytes.
    func markVerified() throws
    /// Gives back the room that is reserved beyond what is stored.
    func giveBackRoom() throws
    /// Makes the bytes durable under their final name.
    func publish() throws
    /// Removes the partial.
    func discard() throws
    /// Lets go of the partial; it stays for another writer.
    func close()
}
