// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import OCI
import Testing

@Suite struct RegistryRequestRefusalTests {
    private func refusal(_ method: HTTPRequest.Method, _ target: String) -> RegistryError? {
        registryError { () throws(RegistryError) in _ = try RegistryRequest(method: method, target: target) }
    }

    @Test(
        "names that no repository has are refused with NAME_INVALID",
        arguments: [
            "/v2/A/manifests/latest", "/v2//manifests/latest", "/v2/a//b/manifests/latest", "/v2/../a/manifests/latest",
            "/v2/a/../b/blobs/\(Samples.zeros)", "/v2/./a/tags/list", "/v2/%2e%2e/a/tags/list", "/v2/a%2Fb/tags/list",
            "/v2/a%2fb/manifests/x", "/v2/a\\b/manifests/x", "/v2/a\u{0}/manifests/x", "/v2/a%00/manifests/x",
            "/v2/é/manifests/x", "/v2/a b/manifests/x", "/v2/a;x/manifests/x", "/v2/a@b/manifests/x",
            "/v2/tags/list", "/v2/manifests/x", "/v2/http://evil.example/a/manifests/x",
            "/v2/\(String(repeating: "a", count: 256))/manifests/x", "/v2/a\u{301}/manifests/x",
            "/v2/blobs/uploads/x",
        ]
    )
    func names(_ target: String) {
        let error = refusal(.get, target)
        #expect(error?.code == .nameInvalid)
        #expect(error?.status == 400)
    }

    @Test(
        "digests and tags that cannot be are refused with the code of the specification",
        arguments: [
            ("/v2/a/manifests/sha256:baddigeststring", RegistryError.Code.digestInvalid),
            ("/v2/a/manifests/sha1:\(String(repeating: "0", count: 40))", .digestInvalid),
            ("/v2/a/blobs/sha256:..", .digestInvalid), ("/v2/a/blobs/latest", .digestInvalid),
            ("/v2/a/blobs/\(Samples.zeros.uppercased())", .digestInvalid), ("/v2/a/referrers/latest", .digestInvalid),
            ("/v2/a/blobs/sha256%253A\(Samples.zeros.dropFirst(7))", .digestInvalid),
            ("/v2/a/blobs/\(Samples.zeros)%00", .digestInvalid),
            ("/v2/a/manifests/-x", .manifestInvalid), ("/v2/a/manifests/..", .manifestInvalid),
            ("/v2/a/manifests/%2e%2e", .manifestInvalid), ("/v2/a/manifests/a%2Fb", .manifestInvalid),
            ("/v2/a/manifests/\(String(repeating: "t", count: 129))", .manifestInvalid),
        ]
    )
    func references(_ target: String, _ code: RegistryError.Code) {
        let error = refusal(.get, target)
        #expect(error?.code == code)
        #expect(error?.status == 400)
    }

    @Test(
        "paths that are no endpoint are 404",
        arguments: [
            "", "/", "*", "v2/", "/v1/", "/v22/", "/V2/", "/v2/a", "/v2/_catalog", "/v2/a/b", "/v2/a/manifests/",
            "/v2/a/manifests/latest/", "/v2/a/tags", "/v2/a/tags/list/", "/v2/a/blobs/", "/v2/a/referrers/",
            "http://host/v2/", "//v2/", "/v2\\a\\manifests\\x", "/v2/a/uploads/x", "/v2%2Fa/manifests/x",
            "?ns=docker.io",
            "/v2#/a/manifests/x", "/../v2/",
        ]
    )
    func unknown(_ target: String) {
        let error = refusal(.get, target)
        #expect(error?.status == 404)
        #expect(error?.code == .unsupported)
    }

    @Test(
        "methods that an endpoint does not have are 405 and say what it has",
        arguments: [
            (HTTPRequest.Method.post, "/v2/"), (.put, "/v2/"), (.delete, "/v2/"), (.options, "/v2/"),
            (.post, "/v2/a/manifests/x"), (.patch, "/v2/a/manifests/x"), (.put, "/v2/a/blobs/\(Samples.zeros)"),
            (.post, "/v2/a/blobs/\(Samples.zeros)"), (.post, "/v2/a/tags/list"), (.delete, "/v2/a/tags/list"),
            (.put, "/v2/a/referrers/\(Samples.zeros)"), (.trace, "/v2/a/manifests/x"),
        ]
    )
    func methods(_ method: HTTPRequest.Method, _ target: String) {
        let error = refusal(method, target)
        #expect(error?.status == 405)
        #expect(error?.code == .unsupported)
        #expect(error?.allowedMethods?.isEmpty == false)
        #expect(error?.allowedMethods?.contains(method) == false)
    }

    @Test(
        "paths of uploads are 405 for other methods and say that nothing is allowed",
        arguments: [
            (HTTPRequest.Method.get, "/v2/a/blobs/uploads/"), (.head, "/v2/a/blobs/uploads"),
            (.put, "/v2/a/blobs/uploads/"), (.patch, "/v2/a/blobs/uploads/"), (.post, "/v2/a/blobs/uploads/x"),
        ]
    )
    func uploads(_ method: HTTPRequest.Method, _ target: String) {
        let error = refusal(method, target)
        #expect(error?.status == 405)
        #expect(error?.allowedMethods == [])
        #expect(error?.headers()[.allow] == "")
    }

    @Test(
        "queries that mean nothing are 400",
        arguments: [
            ("/v2/a/tags/list?n=-1", RegistryError.Code.unsupported), ("/v2/a/tags/list?n=abc", .unsupported),
            ("/v2/a/tags/list?n=1.5", .unsupported), ("/v2/a/tags/list?n=+1", .unsupported),
            ("/v2/a/tags/list?n=%31%zz", .unsupported), ("/v2/a/tags/list?last=%00", .unsupported),
            ("/v2/a/tags/list?last=a%0d%0ab", .unsupported), ("/v2/a/tags/list?last=%ff", .unsupported),
            ("/v2/a/tags/list?last=\(String(repeating: "a", count: 256))", .unsupported),
            ("/v2/a/referrers/\(Samples.zeros)?artifactType=%", .unsupported),
            ("/v2/?ns=http://evil", .nameInvalid), ("/v2/?ns=a/b", .nameInvalid), ("/v2/?ns=user@host", .nameInvalid),
            ("/v2/?ns=docker.io:0", .nameInvalid), ("/v2/?ns=docker.io:99999", .nameInvalid),
            ("/v2/?ns=docker.io.", .nameInvalid), ("/v2/?ns=-a", .nameInvalid), ("/v2/?ns=..", .nameInvalid),
            ("/v2/?ns=[::1", .nameInvalid), ("/v2/?ns=::1", .nameInvalid), ("/v2/?ns=a:b:1", .nameInvalid),
        ]
    )
    func queries(_ target: String, _ code: RegistryError.Code) {
        let error = refusal(.get, target)
        #expect(error?.code == code)
        #expect(error?.status == 400)
    }

    @Test("upload sessions that no registry made are not known")
    func sessions() {
        for session in ["a%2Fb", "a b", "a:b", "..", ".", String(repeating: "a", count: 256)] {
            #expect(refusal(.patch, "/v2/a/blobs/uploads/\(session)")?.code == .blobUploadUnknown)
        }
    }

    @Test("a refusal quotes a hostile path without carrying it over")
    func quoting() {
        let error = refusal(.get, "/v2/" + String(repeating: "\r\nX: y", count: 10_000))
        #expect((error?.message.count ?? .max) < 800)
        #expect(error?.message.contains("\n") == false)
    }
}
