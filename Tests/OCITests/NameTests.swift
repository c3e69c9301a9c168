// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import OCI
import Testing

@Suite struct NameTests {
    @Test(
        "repository names of the grammar are accepted",
        arguments: [
            "a", "0", "library/alpine", "a.b", "a_b", "a__b", "a-b", "a-----b", "a/b/c/d/e/f", "1.2.3",
            "foo/blobs/uploads",
            "tags/list", "manifests/manifests", String(repeating: "a", count: 255), "v2/v2",
        ]
    )
    func validRepository(_ text: String) throws {
        let name = try RepositoryName(text)
        #expect(name.description == text)
        #expect(try RepositoryName(joining: name.components) == name)
    }

    @Test(
        "repository names outside the grammar are refused",
        arguments: [
            "", "/", "a/", "/a", "a//b", "A", "a.", ".a", "a..b", "a___b", "a._b", "a-_b", "-a", "a-", "_a", "a_", "..",
            "../a", "a/../b", "a/.", "%2e%2e", "a%2Fb", "a\\b", "a\u{0}b", "a b", "a\n", "é", "a:b", "a@b", "a\u{301}",
            "a~b", String(repeating: "a", count: 256),
        ]
    )
    func invalidRepository(_ text: String) {
        #expect(
            ociError { () throws(OCIError) in _ = try RepositoryName(text) }?.code == .invalidRepositoryName
        )
    }

    @Test("parts are joined to a name, and the whole is checked")
    func joining() throws {
        let name = try RepositoryName(joining: ["org", "library/alpine"])
        #expect(name.rawValue == "org/library/alpine")
        #expect(name.components == ["org", "library", "alpine"])
        let long = String(repeating: "a", count: 128)
        for parts in [[], ["org", ""], ["org", "../x"], [long, long]] {
            #expect(
                ociError { () throws(OCIError) in _ = try RepositoryName(joining: parts) }?.code
                    == .invalidRepositoryName
            )
        }
    }

    @Test(
        "tags of the grammar are accepted",
        arguments: ["latest", "v1.2-3_4", "_", "0", "A", "a..b", "a--", String(repeating: "t", count: 128)]
    )
    func validTag(_ text: String) throws {
        #expect(try TagName(text).rawValue == text)
        #expect(try Reference(parsing: text) == .tag(try TagName(text)))
    }

    @Test(
        "tags outside the grammar are refused",
        arguments: [
            "", ".a", "-a", "a/b", "a b", "a~", "a+b", "ä", "a\u{0}", "..", "a%20", String(repeating: "t", count: 129),
            "a\u{301}",
        ]
    )
    func invalidTag(_ text: String) {
        #expect(ociError { () throws(OCIError) in _ = try TagName(text) }?.code == .invalidTag)
        #expect(ociError { () throws(OCIError) in _ = try Reference(parsing: text) }?.code == .invalidTag)
    }

    @Test("a colon makes a reference a digest, right or wrong")
    func references() throws {
        let digest = try Digest(Samples.zeros)
        let reference = try Reference(parsing: Samples.zeros)
        #expect(reference == .digest(digest))
        #expect(reference.digest == digest)
        #expect(reference.tag == nil)
        #expect(try Reference(parsing: "v1").tag?.rawValue == "v1")
        #expect(ociError { () throws(OCIError) in _ = try Reference(parsing: "a:b") }?.code == .invalidDigest)
    }

    @Test("names and references are coded as one string")
    func coding() throws {
        struct Payload: Codable, Equatable {
            var repository: RepositoryName
            var tag: TagName
            var references: [Reference]
        }
        let payload = Payload(
            repository: try RepositoryName("library/alpine"),
            tag: .latest,
            references: [.tag(.latest), .digest(try Digest(Samples.zeros))]
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = try encoder.encode(payload)
        #expect(
            String(decoding: json, as: UTF8.self)
                == #"{"references":["latest","\#(Samples.zeros)"],"repository":"library/alpine","tag":"latest"}"#
        )
        #expect(try JSONDecoder().decode(Payload.self, from: json) == payload)
    }

    @Test("messages name the input, cut it and escape what could forge a log line")
    func messages() {
        let hostile = "a\r\nINFO forged\u{1B}[2J\u{202E}\"" + String(repeating: "x", count: 10_000)
        let error = ociError { () throws(OCIError) in _ = try TagName(hostile) }
        let message = error?.message ?? ""
        #expect(message.contains(#"a\u{d}\u{a}INFO forged\u{1b}[2J\u{202e}\""#))
        #expect(message.count < 400)
        #expect(!message.unicodeScalars.contains { $0.properties.generalCategory == .control })
        #expect(error.map { "\($0)" }?.hasPrefix("invalidTag: tag ") == true)
    }
}
