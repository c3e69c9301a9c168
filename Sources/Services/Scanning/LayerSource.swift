// SPDX-License-Identifier: Apache-2.0

import Accounts
import Clair
import Models
import OCI

/// Tells the scanner where it gets an image's layers: from a frontend of ours, with a token for that one blob. It is never
/// told of an address that an image names.
struct LayerSource: Sendable {
    /// Of a frontend as the scanner reaches it, without a slash at its end.
    let baseURL: String
    let signer: TokenSigner

    func manifest(of image: ScanImage, _ layers: [ScanLayer]) async throws -> ClairManifest {
        var described: [ClairManifest.Layer] = []
        for layer in layers {
            let token = try await signer.sign(layer: try Digest(layer.digest))
            described.append(
                ClairManifest.Layer(
                    hash: layer.digest,
                    uri: "\(baseURL)/secscan/layer/\(layer.digest)",
                    headers: ["Authorization": ["Bearer \(token)"]]
                )
            )
        }
        return ClairManifest(hash: image.digest, layers: described)
    }
}
