// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct ImageReferenceTests {
    @Test(
        "references are read and written back",
        arguments: [
            ("docker.io/library/alpine", "docker.io", "library/alpine", "latest"),
            ("localhost:5000/a:v1", "localhost:5000", "a", "v1"),
            ("quay.io/a/b@\(Samples.zeros)", "quay.io", "a/b", Samples.zeros),
            ("quay.io/a/b:v1@\(Samples.long)", "quay.io", "a/b", Samples.long),
            ("[::1]:80/a", "[::1]:80", "a", "latest"), ("127.0.0.1/a", "127.0.0.1", "a", "latest"),
            ("host_1/a/b/c", "host_1", "a/b/c", "latest"),
        ]
    )
    func valid(_ text: String, _ host: String, _ repository: String, _ reference: String) throws {
        let image = try ImageReference(text)
        #expect(image.host == host)
        #expect(image.repository.rawValue == repository)
        #expect(image.reference.rawValue == reference)
        #expect(image.description == text)
        #expect(try ImageReference(image.description) == image)
    }

    @Test(
        "others are refused for the part that is wrong",
        arguments: [
            ("", OCIError.Code.invalidImageReference), ("alpine", .invalidImageReference),
            ("/a", .invalidImageReference),
            ("https://quay.io/a", .invalidImageReference), ("host:0/a", .invalidImageReference),
            ("host:/a", .invalidImageReference), ("user@host/a", .invalidImageReference),
            ("h o/a", .invalidImageReference),
            ("quay.io/", .invalidRepositoryName), ("quay.io/A", .invalidRepositoryName),
            ("quay.io/a/../b", .invalidRepositoryName), ("quay.io/a:", .invalidTag), ("quay.io/a:b:c", .invalidTag),
            ("quay.io/a@", .invalidDigest), ("quay.io/a@sha256:0", .invalidDigest),
            ("quay.io/a@\(Samples.zeros)@\(Samples.zeros)", .invalidDigest),
        ]
    )
    func invalid(_ text: String, _ code: OCIError.Code) {
        #expect(ociError { () throws(OCIError) in _ = try ImageReference(text) }?.code == code)
    }

    @Test("the host is lower-cased, nothing else is")
    func hostCase() throws {
        #expect(try ImageReference("Quay.IO/a:V1").description == "quay.io/a:V1")
    }
}
