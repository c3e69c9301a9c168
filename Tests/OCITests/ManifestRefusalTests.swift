// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct ManifestRefusalTests {
    private static let config = Samples.imageConfig
    private static let image = String(Samples.image().dropLast())

    private func code(_ bytes: [UInt8], _ type: MediaType? = nil) -> OCIError.Code? {
        ociError { () throws(OCIError) in _ = try ManifestDocument(bytes: bytes, contentType: type) }?.code
    }

    @Test(
        "other formats are refused as unsupported",
        arguments: [
            (#"{"schemaVersion":1,"name":"a","fsLayers":[],"layers":5}"#, nil),
            (#"{"schemaVersion":1,"mediaType":7}"#, MediaType.dockerSchema1Signed),
            (#"{"name":"a"}"#, .dockerSchema1), (#"{"schemaVersion":3}"#, nil), (#"{"schemaVersion":-2}"#, nil),
            (Samples.image(type: "application/vnd.oci.artifact.manifest.v1+json"), nil),
            (Samples.image(type: MediaType.dockerSchema1.rawValue), nil),
            (Samples.image(type: "text/html"), MediaType.ociManifest),
        ] as [(String, MediaType?)]
    )
    func unsupported(_ text: String, _ type: MediaType?) {
        #expect(code(Array(text.utf8), type) == .unsupportedManifest)
    }

    @Test(
        "a body that could be taken for another kind is refused",
        arguments: [
            (image + #","manifests":[]}"#, nil),
            (#"{"schemaVersion":2,"layers":[],"manifests":[]}"#, nil),
            (#"{"schemaVersion":2,"config":\#(config),"manifests":[]}"#, .ociIndex),
            (Samples.image(), MediaType.ociIndex), (Samples.image(), .dockerManifestList),
            (Samples.index(), .ociManifest), (Samples.index(), .dockerManifest),
            (Samples.image(type: nil), .ociIndex), (Samples.index(type: nil), .ociManifest),
            (Samples.image(), .dockerSchema1), (Samples.image(type: nil), .dockerSchema1Signed),
            (Samples.image(type: MediaType.ociIndex.rawValue), nil),
            (Samples.index(type: MediaType.ociManifest.rawValue), nil),
            (image + #","Manifests":[]}"#, nil), (image + #","MANIFESTS":[]}"#, nil),
            (image + ",\"manife\u{17F}ts\":[]}", nil), (image + #","\u006danifests":[]}"#, nil),
        ] as [(String, MediaType?)]
    )
    func confusion(_ text: String, _ type: MediaType?) {
        #expect(code(Array(text.utf8), type) == .invalidManifest)
    }

    @Test(
        "keys that matter must not be repeated, however they are spelled",
        arguments: [
            image + #","layers":[]}"#, image + #","l\u0061yers":[]}"#, image + #","config":null}"#,
            image + #","schemaVersion":2}"#, image + #","mediaType":"a/b"}"#,
            image + #","subject":null,"subject":null}"#, image + #","Layers":[]}"#,
            Samples.image(config: Samples.descriptor("a/b", more: #","digest":"\#(Samples.ones)""#)),
            Samples.image(config: Samples.descriptor("a/b", more: #","Digest":"\#(Samples.ones)""#)),
            Samples.image(config: Samples.descriptor("a/b", more: #","si\u007ae":1"#)),
            Samples.index(manifests: "[\(Samples.descriptor("a/b", more: #","size":9"#))]"),
        ]
    )
    func repeatedKeys(_ text: String) {
        let error = ociError { () throws(OCIError) in
            _ = try ManifestDocument(bytes: Array(text.utf8), contentType: nil)
        }
        #expect(error?.code == .invalidManifest)
        #expect(error?.message.contains("twice") == true || error?.message.contains("take for") == true)
    }

    @Test(
        "keys that do not matter may be repeated",
        arguments: [
            image + #","x":1,"x":2}"#, image + #","annotations":{"layers":"a","layers":"b","Digest":"c"}}"#,
            image + #","x":{"digest":1,"digest":2,"Manifests":3}}"#,
            Samples.image(
                config: Samples.descriptor(MediaType.ociConfig.rawValue, more: #","x":1,"x":{"size":1,"size":2}"#)
            ),
        ]
    )
    func harmlessRepeats(_ text: String) {
        #expect(code(Array(text.utf8)) == nil)
    }

    @Test(
        "malformed documents are refused",
        arguments: [
            "", " ", "null", "[]", "1", "\"a\"", "{", "}", "{}", "{}{}", "{\"schemaVersion\":2}", "<html></html>",
            Samples.image() + "}", Samples.image() + "{}", Samples.image() + "x", "x" + Samples.image(),
            #"{"schemaVersion":"2"}"#, #"{"schemaVersion":2.5}"#, #"{"schemaVersion":99999999999999999999}"#,
            #"{"schemaVersion":2,"layers":{}}"#, #"{"schemaVersion":2,"config":[]}"#,
            #"{"schemaVersion":2,"layers":[]}"#,
            #"{"schemaVersion":2,"manifests":[1]}"#, #"{"schemaVersion":2,"manifests":[null]}"#,
            #"{"schemaVersion":2,"manifests":[{}]}"#, image + #","annotations":{"a":1}}"#,
            image + #","annotations":[]}"#, image + #","subject":"x"}"#, image + #","x":"\"#, image + #","x":"#,
            image + ",\"x\":\"\u{1}\"}", image + ",}", image + ",\"x\" 1}", image + ",\u{0}\"x\":1}",
            image + #","x":01}"#, image + #","x":+1}"#, image + #","x":1.}"#, image + #","x":.5}"#,
            image + #","x":1e}"#,
            image + #","x":-}"#, image + #","x":tru}"#, image + #","x":truee}"#, image + #","x":NaN}"#,
            image + #","x":[1,]}"#, image + #","x":[,1]}"#, image + #","x":[1}}"#, image + #","x":{1:2}}"#,
            image + #","x":'a'}"#, image + #","x":"\x41"}"#, image + #","x":"\u00g0"}"#, image + #","x":1 2}"#,
            image + #","x"::1}"#, image + #","x":/**/1}"#, image + #",,"x":1}"#, "{,}", "\"{}\"", "true", "-1",
            image + #","x":}"#, image + #","x"}"#, image + #","x":[1 "a"]}"#, image + #","x":["a":1]}"#,
            Samples.image(type: "nonsense"), "\u{FEFF}" + Samples.image(),
        ]
    )
    func malformed(_ text: String) {
        #expect(code(Array(text.utf8)) == .invalidManifest)
    }

    @Test(
        "sizes and digests that cannot be are refused",
        arguments: [
            "-1", "1125899906842625", "9223372036854775808", "1e400", "\"2\"", "null", "1.5", "true",
            "-9223372036854775809",
        ]
    )
    func sizes(_ size: String) {
        #expect(code(Array(Samples.image(config: Samples.descriptor("a/b", size: size)).utf8)) == .invalidManifest)
    }

    @Test(
        "sizes that add up to more than anything has are refused, be it past what can be counted",
        arguments: [2, 20_000]
    )
    func sizes(count: Int) {
        func image(_ layer: String, _ count: Int) -> [UInt8] {
            let layers = Array(repeating: layer, count: count).joined(separator: ",")
            return Array(#"{"schemaVersion":2,"config":\#(Self.config),"layers":[\#(layers)]}"#.utf8)
        }
        let layer = Samples.descriptor("a/b", size: String(Descriptor.maximumSize - 2))
        #expect(code(image(layer, count), .ociManifest) == .invalidManifest)
        #expect(code(image(layer, 1), .ociManifest) == nil)
    }

    @Test("the message says which field is wrong and cuts what it quotes")
    func digests() {
        for digest in [
            "", "sha256:../../x", "sha1:00", Samples.zeros.uppercased(), String(repeating: "x", count: 5_000),
        ] {
            let child = Samples.descriptor("a/b", digest: digest)
            let error = ociError { () throws(OCIError) in
                _ = try ManifestDocument(bytes: Array(Samples.index(manifests: "[\(child)]").utf8), contentType: nil)
            }
            #expect(error?.code == .invalidManifest)
            #expect(error?.message.contains("digest") == true)
            #expect((error?.message.count ?? .max) < 700)
        }
    }

    @Test("bytes that are not UTF-8 are refused, also where no field is read")
    func encoding() {
        for bad: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82]] {
            let bytes = Array((Self.image + ",\"x\":\"").utf8) + bad + Array("\"}".utf8)
            #expect(code(bytes) == .invalidManifest)
        }
        let wide = Samples.image().utf16.flatMap {
            [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
        }
        #expect(code(wide) == .invalidManifest)
    }

    @Test("nesting of millions is refused without being followed", arguments: ["[", "{\"a\":", "[{\"a\":"])
    func deepNesting(_ piece: String) {
        let count = (ManifestDocument.maximumBytes - 1_000) / piece.utf8.count
        let bytes = Array((Self.image + ",\"x\":" + String(repeating: piece, count: count)).utf8)
        #expect(code(bytes) == .invalidManifest)
    }

    @Test("an index with as many children as fit is read")
    func manyChildren() throws {
        let child = Samples.descriptor("a/b")
        let count = (ManifestDocument.maximumBytes - 200) / (child.utf8.count + 1)
        let list = "[" + Array(repeating: child, count: count).joined(separator: ",") + "]"
        let document = try ManifestDocument(bytes: Array(Samples.index(manifests: list).utf8), contentType: nil)
        #expect(document.manifests.count == count)
    }
}
