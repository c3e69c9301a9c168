// SPDX-License-Identifier: Apache-2.0

import OCI

/// Digests and names that many tests need.
enum Samples {
    static let zeros = "sha256:" + String(repeating: "0", count: 64)
    static let ones = "sha256:" + String(repeating: "1", count: 64)
    static let long = "sha512:" + String(repeating: "a", count: 128)

    static func descriptor(_ type: String, digest: String = zeros, size: String = "2", more: String = "") -> String {
        #"{"mediaType":"\#(type)","digest":"\#(digest)","size":\#(size)\#(more)}"#
    }

    static let imageConfig = descriptor(MediaType.ociConfig.rawValue)
    static let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest: ones, size: "1024")

    static func image(type: String? = MediaType.ociManifest.rawValue, config: String = imageConfig) -> String {
        #"{"schemaVersion":2,\#(typeField(type))"config":\#(config),"layers":[\#(layer)]}"#
    }

    static func index(type: String? = MediaType.ociIndex.rawValue, manifests: String? = nil) -> String {
        let child = descriptor(
            MediaType.ociManifest.rawValue,
            digest: ones,
            more: #","platform":{"architecture":"arm64","os":"linux","variant":"v8"}"#
        )
        return #"{"schemaVersion":2,\#(typeField(type))"manifests":\#(manifests ?? "[\(child)]")}"#
    }

    private static func typeField(_ type: String?) -> String { type.map { #""mediaType":"\#($0)","# } ?? "" }
}

/// The error that `body` throws, or nil.
func ociError(_ body: () throws(OCIError) -> Void) -> OCIError? {
    do throws(OCIError) {
        try body()
        return nil
    } catch {
        return error
    }
}

/// The error that `body` throws, or nil.
func registryError(_ body: () throws(RegistryError) -> Void) -> RegistryError? {
    do throws(RegistryError) {
        try body()
        return nil
    } catch {
        return error
    }
}
