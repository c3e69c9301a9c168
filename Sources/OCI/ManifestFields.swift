// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// The fields of a manifest of any kind as the JSON has them, and the rules that tie them together.
struct ManifestFields: Decodable {
    var schemaVersion: Int?
    var mediaType: MediaType?
    var config: Descriptor?
    var layers: [Descriptor]?
    var manifests: [Descriptor]?
    var subject: Descriptor?
    var artifactType: String?
    var annotations: [String: String]?
    /// `"manifests": null`, which a Go program writes for an index without children.
    var hasNullManifests: Bool

    private enum CodingKeys: String, CodingKey {
        case schemaVersion
        case mediaType
        case config
        case layers
        case manifests
        case subject
        case artifactType
        case annotations
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        schemaVersion = try container.decodeIfPresent(Int.self, forKey: .schemaVersion)
        // The rest of another schema may look like anything; it is refused for its version, not for its fields.
        guard schemaVersion == 2 else {
            hasNullManifests = false
            return
        }
        mediaType = try container.decodeMediaType(forKey: .mediaType)
        config = try container.decodeIfPresent(Descriptor.self, forKey: .config)
        layers = try container.decodeIfPresent([Descriptor].self, forKey: .layers)
        manifests = try container.decodeIfPresent([Descriptor].self, forKey: .manifests)
        subject = try container.decodeIfPresent(Descriptor.self, forKey: .subject)
        artifactType = try container.decodeNonEmptyString(forKey: .artifactType)
        annotations = try container.decodeAnnotations(forKey: .annotations)
        hasNullManifests = manifests == nil && container.contains(.manifests)
    }

    /// Decodes a manifest that ``ManifestScanner`` has passed.
    ///
    /// - Throws: ``OCIError`` with code `invalidManifest`, whose message has the path of the offending field.
    static func decode(_ bytes: [UInt8]) throws(OCIError) -> ManifestFields {
        do {
            return try JSONDecoder().decode(ManifestFields.self, from: Data(bytes))
        } catch {
            throw OCIError(.invalidManifest, "manifest is not valid: \(describe(error))", underlying: error)
        }
    }

    /// Refuses everything but schema version 2.
    func checkSchemaVersion(contentType: MediaType?) throws(OCIError) {
        switch schemaVersion {
        case 2: return
        case 1: throw OCIError(.unsupportedManifest, "manifest schema version 1 is not supported")
        case .some(let version):
            throw OCIError(.unsupportedManifest, "manifest schema version \(version) is not supported")
        case nil:
            if contentType?.isSchema1 == true {
                throw OCIError(.unsupportedManifest, "manifest schema version 1 is not supported")
            }
            throw OCIError(.invalidManifest, "manifest has no schemaVersion")
        }
    }

    /// Settles the one type under which the manifest is stored and served, or refuses a body that could be taken for
    /// an image by one client and for an index by another (image-spec "Guidelines", CVE-2021-41190).
    func effectiveMediaType(contentType: MediaType?) throws(OCIError) -> MediaType {
        let isShapedAsImage = config != nil || layers != nil
        guard !(isShapedAsImage && manifests != nil) else {
            throw OCIError(.invalidManifest, "manifest has the fields of an image and those of an index")
        }
        if let mediaType, !mediaType.isIndex, !mediaType.isImageManifest {
            throw OCIError(.unsupportedManifest, "manifest type \(mediaType.rawValue.quoted) is not supported")
        }
        let announced = contentType.flatMap { $0.isIndex || $0.isImageManifest || $0.isSchema1 ? $0 : nil }
        if let mediaType, let announced, mediaType.isIndex != announced.isIndex || announced.isSchema1 {
            throw OCIError(
                .invalidManifest,
                "manifest says it is \(mediaType.rawValue.quoted) but came as \(announced.rawValue.quoted)"
            )
        }
        guard let type = mediaType ?? announced ?? impliedMediaType else {
            throw OCIError(.invalidManifest, "manifest has neither a type nor the fields of an image or an index")
        }
        try checkShape(of: type)
        return type
    }

    private var impliedMediaType: MediaType? {
        if config != nil || layers != nil { return .ociManifest }
        return manifests != nil || hasNullManifests ? .ociIndex : nil
    }

    private func checkShape(of type: MediaType) throws(OCIError) {
        if type.isIndex {
            guard config == nil, layers == nil else {
                throw OCIError(.invalidManifest, "\(type.rawValue.quoted) has the fields of an image")
            }
        } else {
            guard type.isImageManifest else {
                throw OCIError(.invalidManifest, "manifest of schema version 2 came as \(type.rawValue.quoted)")
            }
            guard manifests == nil else {
                throw OCIError(.invalidManifest, "\(type.rawValue.quoted) has the fields of an index")
            }
            guard config != nil else {
                throw OCIError(.invalidManifest, "\(type.rawValue.quoted) has no config")
            }
        }
    }

    /// The path and the reason of a decoding error, without the JSON around it.
    private static func describe(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return String(describing: error).quoted }
        let (context, missing): (DecodingError.Context, (any CodingKey)?) =
            switch error {
            case .keyNotFound(let key, let context): (context, key)
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
                (context, nil)
            @unknown default: (DecodingError.Context(codingPath: [], debugDescription: "unknown"), nil)
            }
        var path = (context.codingPath + (missing.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        if path.isEmpty { path = "document" }
        return "\(path.quoted) \(missing == nil ? context.debugDescription.quoted : "is missing")"
    }
}
