// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import OCI
import Testing

@Suite struct ManifestDocumentTests {
    private func parse(_ text: String, as type: MediaType? = nil) throws(OCIError) -> ManifestDocument {
        try ManifestDocument(bytes: Array(text.utf8), contentType: type)
    }

    @Test("an image has its config and its layers in order")
    func image() throws {
        let document = try parse(Samples.image(), as: .ociManifest)
        #expect(document.kind == .image)
        #expect(document.mediaType == .ociManifest)
        #expect(document.config?.digest.rawValue == Samples.zeros)
        #expect(document.layers.map(\.size) == [1024])
        #expect(document.layers.map(\.digest.rawValue) == [Samples.ones])
        #expect(document.manifests.isEmpty)
        #expect(document.subject == nil)
    }

    @Test("an index has its children in order, with platforms, duplicates kept")
    func index() throws {
        let attestation = Samples.descriptor(
            MediaType.ociManifest.rawValue,
            digest: Samples.zeros,
            more: #","platform":{"architecture":"unknown","os":"unknown"},"annotations":{"k":"v"}"#
        )
        let nested = Samples.descriptor(MediaType.ociIndex.rawValue, digest: Samples.long, more: #","platform":{}"#)
        let document = try parse(Samples.index(manifests: "[\(nested),\(attestation),\(nested)]"))
        #expect(document.kind == .index)
        #expect(document.manifests.map(\.digest.rawValue) == [Samples.long, Samples.zeros, Samples.long])
        #expect(document.manifests[0].mediaType == .ociIndex)
        #expect(document.manifests[0].platform == Platform(os: "", architecture: ""))
        #expect(document.manifests[1].platform?.description == "unknown/unknown")
        #expect(document.manifests[1].annotations == ["k": "v"])
        #expect(document.config == nil)
    }

    @Test(
        "what an index lists is a manifest, or by any other type a blob",
        arguments: [
            (MediaType.ociManifest.rawValue, true), (MediaType.ociIndex.rawValue, true),
            (MediaType.dockerManifest.rawValue, true), (MediaType.dockerManifestList.rawValue, true),
            (MediaType.dockerSchema1Signed.rawValue, true), ("application/vnd.oci.artifact.manifest.v1+json", true),
            ("", true), ("application/vnd.oci.image.layer.v1.tar+gzip", false),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", false),
            ("application/vnd.buildkit.cacheconfig.v0", false),
        ]
    )
    func listed(_ type: String, _ isManifest: Bool) throws {
        let entry = Samples.descriptor(type)
        let document = try parse(Samples.index(manifests: "[\(entry)]"))
        #expect(document.manifests.map(\.digest.rawValue) == [Samples.zeros])
        #expect(document.children == (isManifest ? document.manifests : []))
        #expect(document.listedBlobs == (isManifest ? [] : document.manifests))
        #expect(document.blobs == document.listedBlobs)
    }

    @Test("the blobs of an image are its config and its layers, in this order")
    func blobs() throws {
        let document = try parse(Samples.image())
        #expect(document.blobs.map(\.digest.rawValue) == [Samples.zeros, Samples.ones])
        #expect(document.children.isEmpty && document.listedBlobs.isEmpty)
    }

    @Test("all fields of an artifact are read, unknown ones ignored")
    func artifact() throws {
        let config = Samples.descriptor(MediaType.ociEmpty.rawValue, more: #","data":"e30=""#)
        let subject = Samples.descriptor(MediaType.ociManifest.rawValue, digest: Samples.ones)
        let document = try parse(
            """
            {"custom":[{"layers":1},{"manifests":{}}],"schemaVersion":2,
             "mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.sbom",
             "config":\(config),"layers":[],"subject":\(subject),"annotations":{"mediaType":"x","a":null}}

            """
        )
        #expect(document.kind == .artifact)
        #expect(document.artifactType == "application/vnd.example.sbom")
        #expect(document.subject?.digest.rawValue == Samples.ones)
        #expect(document.annotations == ["mediaType": "x", "a": ""])
        #expect(document.layers.isEmpty)
    }

    @Test(
        "a manifest is an artifact exactly when its config is not that of an image",
        arguments: [
            (MediaType.ociConfig.rawValue, ImageKind.image), (MediaType.dockerConfig.rawValue, .image),
            (MediaType.ociEmpty.rawValue, .artifact), ("application/vnd.cncf.helm.config.v1+json", .artifact),
            ("application/vnd.wasm.config.v0+json", .artifact), ("application/vnd.docker.plugin.v1+json", .artifact),
        ]
    )
    func kinds(_ configType: String, _ kind: ImageKind) throws {
        #expect(try parse(Samples.image(config: Samples.descriptor(configType))).kind == kind)
    }

    @Test(
        "the type is the body's, else the content type, else what the structure implies",
        arguments: [
            (Samples.image(), nil, MediaType.ociManifest),
            (Samples.image(type: nil), MediaType.dockerManifest, .dockerManifest),
            (Samples.image(type: nil), nil, .ociManifest),
            (Samples.image(type: ""), .ociManifest, .ociManifest),
            (Samples.image(type: MediaType.dockerManifest.rawValue), .ociManifest, .dockerManifest),
            (Samples.image(type: nil), .octetStream, .ociManifest),
            (Samples.index(type: nil), nil, .ociIndex),
            (Samples.index(type: nil), .dockerManifestList, .dockerManifestList),
            (Samples.index(type: nil, manifests: "[]"), nil, .ociIndex),
            (Samples.index(type: nil, manifests: "null"), nil, .ociIndex),
            (Samples.index(manifests: "null"), .octetStream, .ociIndex),
            (#"{"schemaVersion":2,"layers":null,"config":null,"manifests":[]}"#, nil, .ociIndex),
        ] as [(String, MediaType?, MediaType)]
    )
    func types(_ body: String, _ contentType: MediaType?, _ expected: MediaType) throws {
        #expect(try parse(body, as: contentType).mediaType == expected)
    }

    @Test(
        "a descriptor without a media type is taken as bytes of unknown meaning",
        arguments: ["", #""mediaType":"","#]
    )
    func untypedLayer(_ field: String) throws {
        let config = Samples.imageConfig
        let text =
            #"{"schemaVersion":2,"config":\#(config),"layers":[{\#(field)"digest":"\#(Samples.ones)","size":0}]}"#
        #expect(try parse(text).layers.first?.mediaType == .octetStream)
    }

    @Test("sizes from 0 to 2^50 in all are read", arguments: [0, 1, (1 << 50) - 1_024] as [Int64])
    func sizes(_ size: Int64) throws {
        let config = Samples.descriptor(MediaType.ociConfig.rawValue, size: "\(size)")
        #expect(try parse(Samples.image(config: config)).config?.size == size)
    }

    @Test("a manifest of exactly the limit is read, one byte more is not")
    func limit() throws {
        let open = String(Samples.image().dropLast()) + #","annotations":{"a":""#
        let close = #""}}"#
        let room = ManifestDocument.maximumBytes - open.utf8.count - close.utf8.count
        let largest = open + String(repeating: "x", count: room) + close
        #expect(largest.utf8.count == 4_194_304)
        #expect(try parse(largest).annotations["a"]?.utf8.count == room)
        #expect(ociError { () throws(OCIError) in _ = try parse(largest + " ") }?.code == .manifestTooLarge)
    }

    @Test("nesting of 32 is read, of 33 is not")
    func nesting() throws {
        func nested(_ depth: Int) -> String {
            let value = String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1)
            return String(Samples.image().dropLast()) + #","x":\#(value)}"#
        }
        #expect(try parse(nested(32)).kind == .image)
        #expect(ociError { () throws(OCIError) in _ = try parse(nested(33)) }?.message.contains("deeper") == true)
    }

    @Test("every form of JSON value may stand in a field that is ignored")
    func ignoredValues() throws {
        let values =
            #"[0,-0,12.5,-1e9,1E+2,0.1e-3,true,false,null,"",[],{},[[]],{"a":{}},"\"\\\/\b\f\n\r\t\u00e9\uD83E\uDD80é🦀"]"#
        let text = String(Samples.image().dropLast()) + ",\n\t\r \"x\" : \(values) } \n"
        #expect(try parse(text).kind == .image)
        #expect(try parse(#"{ "x" : 1 , "schemaVersion" : 2 , "manifests" : [ ] }"#).kind == .index)
    }

    @Test("a descriptor is written with the fields it has and read back")
    func descriptorCoding() throws {
        let descriptor = Descriptor(
            mediaType: .ociManifest,
            digest: try Digest(Samples.zeros),
            size: 7,
            platform: Platform(os: "windows", architecture: "amd64", osVersion: "10.0", osFeatures: ["win32k"]),
            artifactType: "application/x",
            annotations: ["a": "b"],
            urls: ["https://example.com"]
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = try encoder.encode(descriptor)
        #expect(
            String(decoding: json, as: UTF8.self)
                == #"{"annotations":{"a":"b"},"artifactType":"application/x","#
                + #""digest":"\#(Samples.zeros)","mediaType":"application/vnd.oci.image.manifest.v1+json","#
                + #""platform":{"architecture":"amd64","os":"windows","os.features":["win32k"],"os.version":"10.0"},"#
                + #""size":7,"urls":["https://example.com"]}"#
        )
        #expect(try JSONDecoder().decode(Descriptor.self, from: json) == descriptor)
    }
}
