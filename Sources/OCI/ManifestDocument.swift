// SPDX-License-Identifier: Apache-2.0

/// What a manifest's bytes say, after every check that can be made without other content.
///
/// The bytes are only read: whoever stores or serves a manifest does so with the bytes as they came, since the digest
/// is theirs. Fields that the image-spec does not define are ignored.
package struct ManifestDocument: Hashable, Sendable {
    /// The most bytes that a manifest may have: 4 MiB, which distribution-spec "Pushing Manifests" asks registries to
    /// accept.
    package static let maximumBytes = 4_194_304
    /// The deepest nesting of JSON that is read. Real manifests stay below 8.
    package static let maximumDepth = 32

    /// What the manifest stands for.
    package let kind: ImageKind
    /// The effective type: the body's `mediaType`, else the content type it came with, else the type that its
    /// structure implies.
    package let mediaType: MediaType
    /// The configuration blob; nil in an index.
    package let config: Descriptor?
    /// The layer blobs, in order; empty in an index.
    package let layers: [Descriptor]
    /// What an index lists, in order; empty unless this is one.
    package let manifests: [Descriptor]
    /// The manifest that this one is attached to.
    package let subject: Descriptor?
    /// Declared type of the artifact.
    package let artifactType: String?
    /// Free key-value pairs.
    package let annotations: [String: String]

    /// Reads and checks a manifest.
    ///
    /// - Parameters:
    ///   - bytes: The manifest as it came.
    ///   - contentType: The `Content-Type` it came with. One that does not name a kind of manifest, such as
    ///     `application/json`, is ignored.
    /// - Throws: ``OCIError`` with code `manifestTooLarge`, `unsupportedManifest` (schema 1, another schema version,
    ///   an unknown manifest type) or `invalidManifest` (everything else).
    package init(bytes: [UInt8], contentType: MediaType?) throws(OCIError) {
        guard bytes.count <= Self.maximumBytes else {
            throw OCIError(
                .manifestTooLarge,
                "manifest of \(bytes.count) bytes is larger than \(Self.maximumBytes) bytes"
            )
        }
        try ManifestScanner.check(bytes, maximumDepth: Self.maximumDepth)
        let fields = try ManifestFields.decode(bytes)
        try fields.checkSchemaVersion(contentType: contentType)
        let mediaType = try fields.effectiveMediaType(contentType: contentType)

        self.mediaType = mediaType
        config = fields.config
        layers = fields.layers ?? []
        manifests = fields.manifests ?? []
        subject = fields.subject
        artifactType = fields.artifactType
        annotations = fields.annotations ?? [:]
        if mediaType.isIndex {
            kind = .index
        } else {
            kind = fields.config?.mediaType.isImageConfig == true ? .image : .artifact
        }
        var total: Int64 = 0
        for size in (blobs + children).map(\.size) {
            // Compared each time: the sizes of all could overflow.
            total += size
            guard total <= Descriptor.maximumSize else {
                throw OCIError(.invalidManifest, "what it names adds up to more than \(Descriptor.maximumSize) bytes")
            }
        }
    }

    /// The manifests that an index lists, in order.
    package var children: [Descriptor] { manifests.filter(\.mediaType.isListedManifest) }

    /// The blobs that an index lists, in order: BuildKit keeps its caches as an index of layers.
    package var listedBlobs: [Descriptor] { manifests.filter { !$0.mediaType.isListedManifest } }

    /// Every blob that this manifest names, in order; the configuration comes first.
    package var blobs: [Descriptor] { (config.map { [$0] } ?? []) + layers + listedBlobs }
}

extension MediaType {
    /// Whether an index that lists this type lists a manifest, be it of a kind that isn't handled. What has no type is
    /// one: indexes are made for manifests.
    fileprivate var isListedManifest: Bool {
        isIndex || isImageManifest || isSchema1 || self == .octetStream
            || rawValue == "application/vnd.oci.artifact.manifest.v1+json"
    }
}
