// SPDX-License-Identifier: Apache-2.0

/// Where an image is on its way through the scanner.
package enum ScanState: String, Sendable, Hashable, Codable, CaseIterable {
    /// To be sent to the scanner.
    case queued
    /// There is a report.
    case scanned
    /// Failed, and to be tried again.
    case failed
    /// Failed too often; rests until the scanner changes.
    case exhausted
    /// Nothing that a scanner could look into.
    case unsupported
    /// The scanner says that it isn't an image.
    case refused
    /// A layer is larger than the scanner is to be sent.
    case tooLarge = "too_large"

    /// Whether nothing is done about it until something changes.
    package var isResting: Bool {
        switch self {
        case .queued, .scanned, .failed: false
        case .exhausted, .unsupported, .refused, .tooLarge: true
        }
    }

    /// The model's word for it.
    package var publicStatus: String {
        switch self {
        case .queued: "queued"
        case .scanned: "scanned"
        case .failed, .exhausted: "failed"
        case .unsupported, .refused: "unsupported"
        case .tooLarge: "manifest_layer_too_large"
        }
    }
}

/// A layer as the scanner is told of it.
package struct ScanLayer: Sendable, Hashable {
    /// Of the bytes as they are stored.
    package let digest: String
    package let sizeBytes: Int64
    /// Whether its bytes are here.
    package let isPresent: Bool
    /// Whether its bytes need not be in any registry.
    package let isForeign: Bool

    package init(digest: String, sizeBytes: Int64, isPresent: Bool = true, isForeign: Bool = false) {
        self.digest = digest
        self.sizeBytes = sizeBytes
        self.isPresent = isPresent
        self.isForeign = isForeign
    }
}

/// An image that is to be scanned.
package struct ScanImage: Sendable, Hashable {
    package let manifest: ManifestID
    package let digest: String
    package let state: ScanState
    /// Failures that count against it.
    package let failures: Int
    /// State of the scanner when it last answered for the image; nil if it never did.
    package let indexState: String?
    /// Whether the scanner has looked into it, in that state.
    package let isIndexed: Bool
    /// Whether it was sent, and nobody knows what came of it.
    package let isInDoubt: Bool
    /// In their order.
    package let layers: [ScanLayer]

    package init(
        manifest: ManifestID,
        digest: String,
        state: ScanState,
        failures: Int,
        indexState: String?,
        isIndexed: Bool,
        isInDoubt: Bool,
        layers: [ScanLayer]
    ) {
        self.manifest = manifest
        self.digest = digest
        self.state = state
        self.failures = failures
        self.indexState = indexState
        self.isIndexed = isIndexed
        self.isInDoubt = isInDoubt
        self.layers = layers
    }
}
