// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import OCI
import Testing

@Suite struct RegistryRequestTests {
    private typealias Route = RegistryRequest.Route

    private static func name(_ text: String) throws -> RepositoryName { try RepositoryName(text) }

    private func parse(_ method: HTTPRequest.Method, _ target: String) throws(RegistryError) -> RegistryRequest {
        try RegistryRequest(method: method, target: target)
    }

    @Test("every pull endpoint is read, by GET and by HEAD, and written back")
    func pulls() throws {
        let zeros = try Digest(Samples.zeros)
        let long = try Digest(Samples.long)
        let cases: [(String, Route)] = [
            ("/v2/", .ping),
            ("/v2/a/manifests/latest", .manifest(try Self.name("a"), .tag(.latest))),
            ("/v2/a/b/c/manifests/\(Samples.zeros)", .manifest(try Self.name("a/b/c"), .digest(zeros))),
            ("/v2/a/blobs/\(Samples.long)", .blob(try Self.name("a"), long)),
            ("/v2/a/tags/list", .tagList(try Self.name("a"), n: nil, last: nil)),
            ("/v2/a/tags/list?n=0", .tagList(try Self.name("a"), n: 0, last: nil)),
            ("/v2/a/tags/list?n=10&last=v1", .tagList(try Self.name("a"), n: 10, last: "v1")),
            ("/v2/a/referrers/\(Samples.zeros)", .referrers(try Self.name("a"), zeros, artifactType: nil, last: nil)),
            (
                "/v2/a/referrers/\(Samples.zeros)?artifactType=application%2Fx%2Bjson",
                .referrers(try Self.name("a"), zeros, artifactType: "application/x+json", last: nil)
            ),
            // Names may contain the keywords; the path is read from its end.
            ("/v2/tags/list/tags/list", .tagList(try Self.name("tags/list"), n: nil, last: nil)),
            (
                "/v2/manifests/manifests/manifests",
                .manifest(try Self.name("manifests"), .tag(try TagName("manifests")))
            ),
            (
                "/v2/a/blobs/uploads/manifests/uploads",
                .manifest(try Self.name("a/blobs/uploads"), .tag(try TagName("uploads")))
            ),
            ("/v2/v2/manifests/v2", .manifest(try Self.name("v2"), .tag(try TagName("v2")))),
        ]
        for (target, route) in cases {
            for method in [HTTPRequest.Method.get, .head] {
                let request = try parse(method, target)
                #expect(request == RegistryRequest(route, isHead: method == .head))
                #expect(request.path == target)
                #expect(request.method == method)
            }
        }
    }

    @Test("every push endpoint is told apart and written back")
    func pushes() throws {
        let name = try Self.name("a/b")
        let zeros = try Digest(Samples.zeros)
        let cases: [(HTTPRequest.Method, String, RegistryRequest.PushKind)] = [
            (.put, "/v2/a/b/manifests/latest", .putManifest(name, .tag(.latest))),
            (.delete, "/v2/a/b/manifests/latest", .deleteManifest(name, .tag(.latest))),
            (.delete, "/v2/a/b/manifests/\(Samples.zeros)", .deleteManifest(name, .digest(zeros))),
            (.delete, "/v2/a/b/blobs/\(Samples.zeros)", .deleteBlob(name, zeros)),
            (.post, "/v2/a/b/blobs/uploads/", .startUpload(name)),
            (.patch, "/v2/a/b/blobs/uploads/5f0c-1", .continueUpload(name, session: "5f0c-1")),
            (.put, "/v2/a/b/blobs/uploads/5f0c-1", .finishUpload(name, session: "5f0c-1")),
            (.get, "/v2/a/b/blobs/uploads/5f0c-1", .uploadStatus(name, session: "5f0c-1")),
            (.head, "/v2/a/b/blobs/uploads/5f0c-1", .uploadStatus(name, session: "5f0c-1")),
            (.delete, "/v2/a/b/blobs/uploads/5f0c-1", .cancelUpload(name, session: "5f0c-1")),
        ]
        for (method, target, kind) in cases {
            let request = try parse(method, target)
            #expect(request.route == .push(kind))
            #expect(request.repository == name)
            #expect(request.path == target)
            #expect(request.method == method)
        }
        for target in ["/v2/a/b/blobs/uploads", "/v2/a/b/blobs/uploads/?mount=\(Samples.zeros)&from=c"] {
            #expect(try parse(.post, target).route == .push(.startUpload(name)))
        }
    }

    @Test(
        "forms that differ from the exact path but mean it are accepted",
        arguments: [
            ("/v2", "/v2/"), ("/v2?", "/v2/"), ("/v2/?x=y", "/v2/"),
            ("/v2/a/manifests/latest?", "/v2/a/manifests/latest"),
            ("/v2/a/blobs/sha256%3A" + Samples.zeros.dropFirst(7), "/v2/a/blobs/" + Samples.zeros),
            ("/v2/a/manifests/sha256%3a" + Samples.zeros.dropFirst(7), "/v2/a/manifests/" + Samples.zeros),
            ("/v2/a/tags/list?n=&last=", "/v2/a/tags/list"),
            ("/v2/a/tags/list?last=b&n=1", "/v2/a/tags/list?n=1&last=b"),
            ("/v2/a/tags/list?n=1&n=abc", "/v2/a/tags/list?n=1"), ("/v2/a/tags/list?%6e=1", "/v2/a/tags/list?n=1"),
            ("/v2/a/tags/list?n=007", "/v2/a/tags/list?n=7"),
            ("/v2/a/tags/list?n=99999999999999999999999", "/v2/a/tags/list?n=2147483647"),
            ("/v2/a/tags/list?&&=&x=%zz&n=2", "/v2/a/tags/list?n=2"),
            ("/v2/?ns=Docker.IO", "/v2/?ns=docker.io"), ("/v2/?ns=localhost%3A5000", "/v2/?ns=localhost%3A5000"),
            ("/v2/?ns=localhost:5000", "/v2/?ns=localhost%3A5000"), ("/v2/?ns=[::1]:80", "/v2/?ns=%5B%3A%3A1%5D%3A80"),
            ("/v2/a/tags/list?ns=quay.io&n=3", "/v2/a/tags/list?n=3&ns=quay.io"),
            (
                "/v2/a/referrers/\(Samples.zeros)?artifactType=application/x+json",
                "/v2/a/referrers/\(Samples.zeros)?artifactType=application%2Fx%2Bjson"
            ),
        ]
    )
    func normalized(_ target: String, _ canonical: String) throws {
        #expect(try parse(.get, target).path == canonical)
    }

    @Test("the namespace is read on every endpoint and is not part of the route")
    func namespaces() throws {
        for path in ["/v2/", "/v2/a/manifests/latest", "/v2/a/blobs/\(Samples.zeros)", "/v2/a/tags/list"] {
            let request = try parse(.get, path + "?ns=docker.io")
            #expect(request.namespace == "docker.io")
            #expect(request.route == (try parse(.get, path).route))
        }
    }
}
