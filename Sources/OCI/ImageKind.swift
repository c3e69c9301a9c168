// SPDX-License-Identifier: Apache-2.0

/// What a manifest stands for.
package enum ImageKind: String, Hashable, Sendable, Codable, CaseIterable {
    /// One image for one platform.
    case image
    /// A list of manifests, usually one for each platform.
    case index
    /// Anything else that travels as an image manifest: a chart, a signature, a bill of materials.
    case artifact
}
