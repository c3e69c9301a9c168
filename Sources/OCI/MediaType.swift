// SPDX-License-Identifier: Apache-2.0

/// A media type without parameters, in lower case: `application/vnd.oci.image.manifest.v1+json`.
///
/// Media types are compared without regard to case and parameters say nothing about the kind of a manifest
/// (RFC 9110 section 8.3.1), so both are gone once the value exists. Only token characters are accepted: the value
/// comes from manifests of strangers and is written into response headers.
package struct MediaType: ValidatedString {
    /// Most characters: 127 on each side of the slash (RFC 6838 section 4.2).
    package static let maximumLength = 255

    /// `type/subtype`.
    package let rawValue: String

    /// Strips parameters and lower-cases.
    ///
    /// - Throws: ``OCIError`` with code `invalidMediaType`.
    package init(_ string: String) throws(OCIError) {
        let essence = string.utf8.prefix { $0 != UInt8(ascii: ";") }.trimmingBlanks()
        let halves = essence.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard halves.count == 2, halves.allSatisfy({ !$0.isEmpty && $0.allSatisfy(\.isTokenCharacter) }) else {
            throw OCIError(.invalidMediaType, "media type \(string.quoted) is not type/subtype")
        }
        guard essence.count <= Self.maximumLength else {
            throw OCIError(
                .invalidMediaType,
                "media type \(string.quoted) is longer than \(Self.maximumLength) characters"
            )
        }
        rawValue = Substring(essence).lowercasedASCII
    }

    private init(unchecked rawValue: String) {
        self.rawValue = rawValue
    }
}

extension MediaType {
    /// OCI image manifest.
    package static let ociManifest = MediaType(unchecked: "application/vnd.oci.image.manifest.v1+json")
    /// OCI image index.
    package static let ociIndex = MediaType(unchecked: "application/vnd.oci.image.index.v1+json")
    /// OCI image configuration.
    package static let ociConfig = MediaType(unchecked: "application/vnd.oci.image.config.v1+json")
    /// The two bytes `{}` that stand for "nothing" in artifacts.
    package static let ociEmpty = MediaType(unchecked: "application/vnd.oci.empty.v1+json")
    /// Docker image manifest, schema 2.
    package static let dockerManifest = MediaType(unchecked: "application/vnd.docker.distribution.manifest.v2+json")
    /// Docker manifest list.
    package static let dockerManifestList = MediaType(
        unchecked: "application/vnd.docker.distribution.manifest.list.v2+json"
    )
    /// Docker image manifest, schema 1, unsigned.
    package static let dockerSchema1 = MediaType(unchecked: "application/vnd.docker.distribution.manifest.v1+json")
    /// Docker image manifest, schema 1, signed.
    package static let dockerSchema1Signed = MediaType(
        unchecked: "application/vnd.docker.distribution.manifest.v1+prettyjws"
    )
    /// Docker image configuration.
    package static let dockerConfig = MediaType(unchecked: "application/vnd.docker.container.image.v1+json")
    /// Bytes of unknown meaning; what blobs are served as.
    package static let octetStream = MediaType(unchecked: "application/octet-stream")

    /// An OCI index or a Docker manifest list.
    package var isIndex: Bool { self == .ociIndex || self == .dockerManifestList }

    /// An OCI or Docker (schema 2) manifest of one image or artifact.
    package var isImageManifest: Bool { self == .ociManifest || self == .dockerManifest }

    /// Docker's schema 1 in either form, which is not handled.
    package var isSchema1: Bool { self == .dockerSchema1 || self == .dockerSchema1Signed }

    /// The configuration of a runnable image, as opposed to that of another kind of artifact.
    package var isImageConfig: Bool { self == .ociConfig || self == .dockerConfig }

    /// A non-distributable layer, whose bytes come from its `urls` and need not be in any registry.
    package var isForeignLayer: Bool {
        rawValue.hasPrefix("application/vnd.oci.image.layer.nondistributable.v1.tar")
            || rawValue.hasPrefix("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }

    /// `Accept` of manifest requests to upstream: every handled kind, and nothing that would invite schema 1.
    package static let manifestAccept = [ociIndex, ociManifest, dockerManifestList, dockerManifest]
        .map(\.rawValue).joined(separator: ", ")
}

extension Substring.UTF8View {
    /// Without spaces and tabs at both ends.
    func trimmingBlanks() -> Substring.UTF8View {
        var result = drop(while: \.isBlank)
        while let last = result.last, last.isBlank { result = result.dropLast() }
        return result
    }
}
