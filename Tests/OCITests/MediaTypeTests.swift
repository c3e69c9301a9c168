// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct MediaTypeTests {
    @Test(
        "parameters, blanks and case do not matter",
        arguments: [
            "application/vnd.oci.image.index.v1+json", "Application/VND.oci.Image.Index.v1+JSON",
            " application/vnd.oci.image.index.v1+json ; charset=utf-8", "application/vnd.oci.image.index.v1+json;",
        ]
    )
    func normalized(_ text: String) throws {
        #expect(try MediaType(text) == .ociIndex)
        #expect(MediaType(rawValue: text)?.rawValue == "application/vnd.oci.image.index.v1+json")
    }

    @Test(
        "what is not type/subtype is refused",
        arguments: [
            "", "application", "application/", "/json", "a/b/c", "a b/c", "a/b\r\nSet-Cookie: x", "a/b\u{0}", "é/b",
            ";a/b", "a/" + String(repeating: "b", count: 254),
        ]
    )
    func refused(_ text: String) {
        #expect(ociError { () throws(OCIError) in _ = try MediaType(text) }?.code == .invalidMediaType)
    }

    @Test("every known type has the one kind it should have")
    func kinds() throws {
        let kinds: [(MediaType, String)] = [
            (.ociIndex, "index"), (.dockerManifestList, "index"), (.ociManifest, "image"), (.dockerManifest, "image"),
            (.dockerSchema1, "schema1"), (.dockerSchema1Signed, "schema1"), (.ociConfig, "config"),
            (.dockerConfig, "config"), (.ociEmpty, ""), (.octetStream, ""),
            (try MediaType("application/vnd.oci.image.layer.v1.tar+gzip"), ""),
            (try MediaType("application/vnd.docker.image.rootfs.diff.tar.gzip"), ""),
            (try MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar"), "foreign"),
            (try MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"), "foreign"),
            (try MediaType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "foreign"),
        ]
        for (type, kind) in kinds {
            #expect(type.isIndex == (kind == "index"), "\(type)")
            #expect(type.isImageManifest == (kind == "image"), "\(type)")
            #expect(type.isSchema1 == (kind == "schema1"), "\(type)")
            #expect(type.isImageConfig == (kind == "config"), "\(type)")
            #expect(type.isForeignLayer == (kind == "foreign"), "\(type)")
        }
    }

    @Test("upstream is asked for the four handled manifest types and nothing else")
    func accept() throws {
        let types = try MediaType.manifestAccept.split(separator: ",").map { try MediaType(String($0)) }
        #expect(Set(types) == [.ociIndex, .ociManifest, .dockerManifest, .dockerManifestList])
        #expect(types.count == 4)
    }

    @Test("platforms are read and compared, and arm64 is arm64/v8")
    func platforms() throws {
        #expect(try Platform("linux/amd64").description == "linux/amd64")
        #expect(try Platform("Linux/ARM/v7") == Platform(os: "linux", architecture: "arm", variant: "v7"))
        let cases: [(String, String, Bool)] = [
            ("linux/amd64", "linux/amd64", true), ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true), ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm", "linux/arm/v7", false), ("windows/amd64", "linux/amd64", false),
            ("linux/amd64/v3", "linux/amd64", true), ("unknown/unknown", "linux/amd64", false),
        ]
        for (image, wanted, expected) in cases {
            #expect(try Platform(image).satisfies(try Platform(wanted)) == expected, "\(image) for \(wanted)")
        }
        for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "linux//v8"] {
            #expect(ociError { () throws(OCIError) in _ = try Platform(text) }?.code == .invalidPlatform, "\(text)")
        }
    }
}
