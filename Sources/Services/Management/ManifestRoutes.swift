// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Metadata
import Models
import OCI
import Postgres

/// Manifests that are cached.
struct ManifestRoutes: Sendable {
    let client: PostgresClient
    private let manifests = ManifestStore()
    private let states = ImageStateStore()

    init(client: PostgresClient) { self.client = client }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "repository/{repository}/manifest/{digest}",
                "getManifest",
                "A manifest and what it names.",
                .pull,
                .ok(Self.view),
                show
            )
        ]
    }

    private static let blob = [
        Schema.has("index", .natural), Schema.has("blob_digest", .text()), Schema.has("compressed_size", .natural),
        Schema.has("media_type", .text()), Schema.has("is_remote", .flag, "Whether it is a foreign layer."),
        Schema.has("urls", .list(.anyText, maximum: 10_000)),
    ]
    private static let child = [
        Schema.has("digest", .text()), Schema.has("size", .natural), Schema.has("media_type", .text()),
        Schema.has("platform", .nullable(.text())),
    ]
    private static let view = [
        Schema.has("digest", .text()), Schema.has("is_manifest_list", .flag),
        Schema.has("manifest_data", .anyText, "The manifest, as upstream sent it."),
        Schema.has("media_type", .text()), Schema.has("config_media_type", .nullable(.text())),
        Schema.has("layers_compressed_size", .nullable(.natural)),
        Schema.has("layers", .nullable(.list(.object(blob), maximum: 100_000))),
        Schema.has("manifests", .nullable(.list(.object(child), maximum: 100_000)), "Children of an index."),
        Schema.has("state", .text(), "complete, or fetching n/m."), Schema.has("cached_bytes", .natural),
        Schema.has("size", .natural), Schema.may("child_manifest_count", .natural),
        Schema.may("present_child_count", .natural),
    ]

    private struct Layer: Encodable {
        let index: Int
        let blob_digest: String
        let compressed_size: Int64
        let media_type: String
        let is_remote: Bool
        let urls: [String]
    }

    private struct Child: Encodable {
        let digest: String
        let size: Int64
        let media_type: String
        @Nullable var platform: String?
    }

    private struct View: Encodable {
        let digest: String
        let is_manifest_list: Bool
        let manifest_data: String
        let media_type: String
        @Nullable var config_media_type: String?
        @Nullable var layers_compressed_size: Int64?
        @Nullable var layers: [Layer]?
        @Nullable var manifests: [Child]?
        let state: String
        let cached_bytes: Int64
        let size: Int64
        let child_manifest_count: Int?
        let present_child_count: Int?
    }

    private func show(_ call: Call) async throws -> Response {
        let organization = try call.organization.id
        let repository = try call.repository
        guard let digest = Digest(rawValue: try call.parameter("digest")),
            let record = try await manifests.find(
                digest,
                repository: repository,
                organization: organization,
                on: client
            ),
            let state = try await states.state(
                of: digest,
                repository: repository,
                organization: organization,
                on: client
            )
        else { throw APIError.notFound("there is no such manifest in the cache") }
        let document = try ManifestDocument(bytes: record.bytes, contentType: record.mediaType)
        let isIndex = document.kind == .index
        return try APIReply.json(
            View(
                digest: digest.description,
                is_manifest_list: isIndex,
                manifest_data: String(decoding: record.bytes, as: UTF8.self),
                media_type: record.mediaType.rawValue,
                config_media_type: document.config?.mediaType.rawValue,
                layers_compressed_size: isIndex ? nil : document.layers.reduce(0) { $0 + $1.size },
                layers: isIndex
                    ? nil
                    : document.layers.enumerated().map { index, layer in
                        Layer(
                            index: index,
                            blob_digest: layer.digest.description,
                            compressed_size: layer.size,
                            media_type: layer.mediaType.rawValue,
                            is_remote: layer.mediaType.isForeignLayer,
                            urls: layer.urls ?? []
                        )
                    },
                manifests: isIndex
                    ? document.children.map { child in
                        Child(
                            digest: child.digest.description,
                            size: child.size,
                            media_type: child.mediaType.rawValue,
                            platform: child.platform?.description
                        )
                    } : nil,
                state: state.state,
                cached_bytes: state.presentBytes,
                size: state.totalBytes,
                child_manifest_count: state.children?.listed,
                present_child_count: state.children?.present
            )
        )
    }
}
