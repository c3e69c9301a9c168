// SPDX-License-Identifier: Apache-2.0

package import OCI

/// One thing that belongs to an image that is fetched ahead, and how far it is.
package struct WarmItem: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case manifest, config, layer
    }

    package enum State: Sendable, Hashable {
        /// Nothing has come yet.
        case waiting
        case arriving
        case fetched
        /// It was here before.
        case present
        /// Why it won't come.
        case failed(String)

        package var isFinal: Bool {
            switch self {
            case .waiting, .arriving: false
            case .fetched, .present, .failed: true
            }
        }
    }

    /// The image, as it was asked for.
    package let image: String
    package let kind: Kind
    package let digest: Digest
    package let sizeBytes: Int64
    package var storedBytes: Int64 = 0
    package var bytesPerSecond: Int64 = 0
    package var state = State.waiting

    package init(image: String, kind: Kind, digest: Digest, sizeBytes: Int64) {
        self.image = image
        self.kind = kind
        self.digest = digest
        self.sizeBytes = sizeBytes
    }

    /// What it is called on one line: `layer 0123456789ab`.
    package var name: String { "\(kind.rawValue) \(digest.hex.prefix(12))" }
}

/// What is told while images are fetched ahead.
package enum WarmNews: Sendable, Hashable {
    /// Something that is worth a line.
    case note(String)
    /// An item that is new or has changed.
    case item(WarmItem)
}

/// What became of one image.
package struct WarmResult: Sendable, Hashable, Encodable {
    package let image: String
    /// Digest of the manifest; nil when it couldn't be had.
    package var digest: String?
    package var manifests = 0
    /// Configurations and layers.
    package var blobs = 0
    package var fetchedBlobs = 0
    package var fetchedBytes: Int64 = 0
    package var seconds = 0.0
    /// Why it isn't all here; empty when it is.
    package var failures: [String] = []

    package var complete = false

    package init(image: String) { self.image = image }
}
