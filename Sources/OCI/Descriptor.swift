// SPDX-License-Identifier: Apache-2.0

/// A typed, sized pointer to content (image-spec "Content Descriptors").
package struct Descriptor: Hashable, Sendable {
    /// The largest size that is accepted, of one thing and of all that a manifest names together: 2^50 bytes. Nothing is so
    /// large, JSON numbers are exact up to there in every implementation, and sums of many manifests' don't overflow.
    package static let maximumSize: Int64 = 1 << 50

    /// Type of the content that is pointed to.
    package let mediaType: MediaType
    /// Address of the content.
    package let digest: Digest
    /// Length of the content in bytes.
    package let size: Int64
    /// What a manifest of an index runs on.
    package let platform: Platform?
    /// Type of the artifact when the content is one.
    package let artifactType: String?
    /// Free key-value pairs.
    package let annotations: [String: String]?
    /// Where else the content may be had. Written by strangers: fetched for foreign layers alone, from listed hosts.
    package let urls: [String]?

    /// Takes the fields as they are.
    package init(
        mediaType: MediaType,
        digest: Digest,
        size: Int64,
        platform: Platform? = nil,
        artifactType: String? = nil,
        annotations: [String: String]? = nil,
        urls: [String]? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.platform = platform
        self.artifactType = artifactType
        self.annotations = annotations
        self.urls = urls
    }
}

extension Descriptor: Codable {
    private enum CodingKeys: String, CodingKey {
        case mediaType
        case digest
        case size
        case platform
        case artifactType
        case annotations
        case urls
    }

    /// Reads a descriptor of a manifest; unknown fields, `data` among them, are ignored.
    ///
    /// A missing or empty media type becomes `application/octet-stream` (RFC 9110 section 8.3): Go programs write
    /// `""` for a field that was never set, and such images are pulled without complaint elsewhere.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        mediaType = try container.decodeMediaType(forKey: .mediaType) ?? .octetStream
        digest = try container.decode(Digest.self, forKey: .digest)
        size = try container.decode(Int64.self, forKey: .size)
        guard (0...Self.maximumSize).contains(size) else {
            throw DecodingError.dataCorruptedError(
                forKey: .size,
                in: container,
                debugDescription: "size \(size) is not between 0 and \(Self.maximumSize)"
            )
        }
        platform = try container.decodeIfPresent(Platform.self, forKey: .platform)
        artifactType = try container.decodeNonEmptyString(forKey: .artifactType)
        annotations = try container.decodeAnnotations(forKey: .annotations)
        urls = try container.decodeIfPresent([String].self, forKey: .urls)
    }
}

extension KeyedDecodingContainer {
    /// The string at `key`; nil when it is absent, null or empty.
    func decodeNonEmptyString(forKey key: Key) throws -> String? {
        guard let string = try decodeIfPresent(String.self, forKey: key), !string.isEmpty else { return nil }
        return string
    }

    /// The media type at `key`; nil when it is absent, null or empty.
    func decodeMediaType(forKey key: Key) throws -> MediaType? {
        guard let string = try decodeNonEmptyString(forKey: key) else { return nil }
        do throws(OCIError) {
            return try MediaType(string)
        } catch {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: error.message)
        }
    }

    /// The annotations at `key`; a value of null counts as empty, which is how Go programs read it.
    func decodeAnnotations(forKey key: Key) throws -> [String: String]? {
        try decodeIfPresent([String: String?].self, forKey: key)?.mapValues { $0 ?? "" }
    }
}
