// SPDX-License-Identifier: Apache-2.0

/// An image as Clair's indexer is told of it (`Manifest` of its API).
package struct ClairManifest: Encodable, Sendable, Hashable {
    package struct Layer: Encodable, Sendable, Hashable {
        /// Of the bytes that the address gives.
        package let hash: String
        package let uri: String
        /// What the indexer sends when it asks for the layer.
        package let headers: [String: [String]]

        package init(hash: String, uri: String, headers: [String: [String]]) {
            self.hash = hash
            self.uri = uri
            self.headers = headers
        }
    }

    package let hash: String
    /// From the base up.
    package let layers: [Layer]

    package init(hash: String, layers: [Layer]) {
        self.hash = hash
        self.layers = layers
    }
}

/// How far the indexer has come with an image (`IndexReport` of its API), without what it found.
package struct IndexProgress: Sendable, Hashable {
    /// State of the indexer, from `Etag`; nil where it sent none.
    package let indexState: String?
    /// `IndexFinished`, `IndexError`, or a step on the way.
    package let state: String
    package let isSuccessful: Bool
    package let error: String

    package var isFinished: Bool { state == "IndexFinished" && isSuccessful }
}

struct IndexReportFields: Decodable {
    let state: String
    let success: Bool
    let err: String

    enum CodingKeys: String, CodingKey { case state, success, err }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        state = values.lenient(.state) ?? ""
        success = values.lenient(.success) ?? false
        err = values.lenient(.err) ?? ""
    }
}
