// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPTransport
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// What the registry says to requests that it can't serve, and where images are found.
@Suite struct RegistryRulesTests {
    @Test("the ping is answered with a challenge, without asking anybody")
    func ping() async throws {
        try await Deployment.with([], fetchers: 0) { deployment in
            for path in ["/v2/", "/v2"] {
                let got = try await deployment.registry.get(path)
                #expect(got.status == 401 && got.errorCode == "UNAUTHORIZED")
                #expect(got.headers[.wwwAuthenticate]?.hasPrefix("Bearer realm=") == true)
                #expect(try await deployment.registry.head(path).status == 401)
            }
        }
    }

    @Test("push verbs are refused with an OCI error, and with what their path allows")
    func push() async throws {
        let digest = OCI.Digest.of(Array("x".utf8))
        let uploads = "/v2/up/a/blobs/uploads/"
        let requests: [(HTTPRequest.Method, String, allow: String)] = [
            (.post, uploads, ""), (.post, "\(uploads)?mount=\(digest)&from=up/b", ""), (.put, uploads, ""),
            (.patch, uploads, ""), (.put, "\(uploads)1?digest=\(digest)", ""), (.patch, "\(uploads)1", ""),
            (.get, "\(uploads)1", ""), (.put, "/v2/up/a/manifests/t", "GET, HEAD"),
            (.post, "/v2/up/a/manifests/t", "GET, HEAD"), (.delete, "/v2/up/a/manifests/t", "GET, HEAD"),
            (.delete, "/v2/up/a/blobs/\(digest)", "GET, HEAD"),
        ]
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            for (method, path, allow) in requests {
                let got = try await deployment.registry.send(method, path, body: Array("{}".utf8))
                #expect(got.status == 405 && got.errorCode == "UNSUPPORTED", "\(method) \(path): \(got.text)")
                #expect(got.headers[.allow] == allow, "\(method) \(path)")
            }
        }
    }

    @Test("bad names, digests, tags, methods and paths get an OCI error with the right status and code")
    func refusals() async throws {
        let good = String(repeating: "a", count: 64)
        let table: [(HTTPRequest.Method, String, Int, String)] = [
            (.get, "/v2/up/UPPER/manifests/t", 400, "NAME_INVALID"),
            (.get, "/v2/up/a/../b/manifests/t", 400, "NAME_INVALID"),
            (.get, "/v2/up/%2e%2e/manifests/t", 400, "NAME_INVALID"),
            (.get, "/v2/up/a%2Fb/manifests/t", 400, "NAME_INVALID"),
            (.get, "/v2/up//a/manifests/t", 400, "NAME_INVALID"),
            (.get, "/v2/up/\(String(repeating: "n", count: 260))/manifests/t", 400, "NAME_INVALID"),
            (.get, "/v2/up/a/manifests/\(String(repeating: "t", count: 129))", 400, "MANIFEST_INVALID"),
            (.get, "/v2/up/a/manifests/.t", 400, "MANIFEST_INVALID"),
            (.get, "/v2/up/a/manifests/sha256:baddigeststring", 400, "DIGEST_INVALID"),
            (.get, "/v2/up/a/blobs/sha256:\(good.uppercased())", 400, "DIGEST_INVALID"),
            (.get, "/v2/up/a/blobs/sha1:\(good.prefix(40))", 400, "DIGEST_INVALID"),
            (.get, "/v2/up/a/blobs/sha256:..%2F..%2Fx", 400, "DIGEST_INVALID"),
            (.get, "/v2/up/a/blobs/sha256:\(good)", 404, "BLOB_UNKNOWN"),
            (.get, "/v2/nobody/a/manifests/t", 401, "UNAUTHORIZED"), (.get, "/v2/up/manifests/t", 404, "NAME_UNKNOWN"),
            (.post, "/v2/up/a/manifests/t", 405, "UNSUPPORTED"), (.get, "/v2/_catalog", 404, "UNSUPPORTED"),
            (.get, "/", 404, "UNSUPPORTED"), (.get, "/etc/passwd", 404, "UNSUPPORTED"),
            (.get, "/v2/up/a/tags/list?n=abc", 400, "UNSUPPORTED"),
            (.get, "/v2/up/a/tags/list?n=-1", 400, "UNSUPPORTED"),
        ]
        try await Deployment.with(["up=http://127.0.0.1:9"], fetchers: 0) { deployment in
            for (method, path, status, code) in table {
                let got = try await deployment.registry.send(method, path)
                #expect(got.status == status && got.errorCode == code, "\(path): \(got.status) \(got.text)")
                #expect(got.headers[.contentType] == "application/json")
            }
            let stored = try await deployment.client.query(
                "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM repository)"
            ).decodeFirst(Int.self)
            #expect(stored == 0)
        }
    }

    @Test("what isn't HTTP, or has too much header, is answered and the connection closed; the server lives on")
    func rawRequests() async throws {
        try await Deployment.with([], fetchers: 0) { deployment in
            let port = try #require(deployment.registry.base.split(separator: ":").last.flatMap { Int($0) })
            let long = String(repeating: "h", count: 40_000)
            let many = (0..<300).map { "X-\($0): 1\r\n" }.joined()
            let table: [(String, [String])] = [
                ("GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: \(long)\r\n\r\n", ["431", "UNSUPPORTED"]),
                ("GET /v2/ HTTP/1.1\r\nHost: x\r\n\(many)\r\n", ["431", "UNSUPPORTED"]),
                ("\u{16}\u{3}\u{1}\u{0}hello\r\n\r\n", ["400", "UNSUPPORTED"]),
                ("NONSENSE\r\n\r\n", ["400", "UNSUPPORTED"]),
            ]
            for (request, expected) in table {
                let answer = try await rawExchange(port: port, request)
                for text in expected { #expect(answer.contains(text), "\(request.prefix(20)): \(answer.prefix(200))") }
            }
            #expect(try await deployment.registry.get("/v2/").status == 401)
        }
    }

    @Test("an organization bound to a namespace reaches that namespace only")
    func boundNamespace() async throws {
        try await ScriptedUpstream.with { upstream in
            let inside = ImageFixture.image(layers: [.text("inside")])
            let outside = ImageFixture.image(layers: [.text("outside")])
            upstream.add(inside, to: "team/app", tag: "t")
            upstream.add(outside, to: "other/app", tag: "t")
            try await Deployment.with(["team=\(upstream.url)/team", "all=\(upstream.url)"]) { deployment in
                expectServed(try await deployment.registry.get("/v2/team/app/manifests/t"), inside.bytes)
                expectServed(try await deployment.registry.get("/v2/all/other/app/manifests/t"), outside.bytes)
                #expect(try await deployment.registry.get("/v2/team/other/app/manifests/t").status == 404)
                #expect(upstream.count("/v2/team/other/app/") > 0)
            }
        }
    }

    @Test("what one organization or repository has cached doesn't exist in another")
    func noLeaks() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.image(layers: [.text("secret")])
            upstream.add(image, to: "a/b", tag: "t")
            let layer = image.blobs[1].digest
            try await Deployment.with(["one=\(upstream.url)", "two=http://127.0.0.1:9"]) { deployment in
                #expect(try await deployment.registry.get("/v2/one/a/b/manifests/t").status == 200)
                #expect(try await deployment.registry.get("/v2/one/a/b/blobs/\(layer)").status == 200)
                for place in ["one/a/c", "two/a/b"] {
                    for method in [HTTPRequest.Method.get, .head] {
                        let blob = try await deployment.registry.send(method, "/v2/\(place)/blobs/\(layer)")
                        #expect(blob.status == 404, "\(method) \(place)")
                    }
                }
                let manifest = try await deployment.registry.get("/v2/two/a/b/manifests/\(image.digest)")
                #expect(manifest.status == 503)
                let asBlob = try await deployment.registry.get("/v2/one/a/b/blobs/\(image.digest)")
                #expect(asBlob.status == 404 && asBlob.errorCode == "BLOB_UNKNOWN")
            }
        }
    }

    @Test("with proxying switched off what is cached is served, nothing is fetched, and upstream isn't asked")
    func switchedOff() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.image(layers: [.text("kept")])
            upstream.add(image, to: "a/b", tag: "t")
            upstream.add(image, to: "a/b", tag: "other")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/b/manifests/t").status == 200)
                upstream.forgetRequests()
                let off = ["ENTREPOT_FEATURE_PROXY_CACHE": "false"]
                try await deployment.addFrontend(off)
                try await deployment.addFetcher(off)
                deployment.fetchers[0].kill(SIGKILL)
                _ = try await deployment.fetchers[0].exitStatus()
                let registry = deployment.clients[1]
                let cached = try await registry.get("/v2/up/a/b/manifests/t")
                expectServed(cached, image.bytes)
                #expect(cached.headers[.warning] == nil)
                #expect(try await registry.get("/v2/up/a/b/manifests/other").errorCode == "MANIFEST_UNKNOWN")
                #expect(try await registry.get("/v2/up/a/b/blobs/\(image.blobs[1].digest)").status == 404)
                // Asked through a frontend that proxies, of a fetcher that doesn't.
                async let waiting = deployment.registry.get("/v2/up/a/b/manifests/other")
                try await eventually("the job waits") {
                    let jobs = try await deployment.client.query("SELECT 1 FROM job WHERE state = 'available'")
                    return jobs.count == 1
                }
                try await deployment.addFetcher()
                #expect(try await waiting.status == 200)
                #expect(upstream.count("manifests/other") == 1 && upstream.count("manifests/t") == 0)
            }
        }
    }

    @Test("an organization without upstream lists what it has: tags in order and in pages, referrers filtered")
    func lists() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.image(layers: [.text("signed")])
            let subject = ImageFixture.descriptor(image.mediaType, image.digest, Int64(image.bytes.count))
            let signature = ImageFixture.image(
                layers: [],
                config: .text("{}"),
                extra: ",\"artifactType\":\"application/vnd.example.signature\",\"subject\":\(subject)"
            )
            for tag in ["b", "a", "C", "d"] { upstream.add(image, to: "a/b", tag: tag) }
            upstream.add(signature, to: "a/b")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let registry = deployment.registry
                for reference in ["b", "a", "C", "d", signature.digest.description] {
                    #expect(try await registry.get("/v2/up/a/b/manifests/\(reference)").status == 200)
                }
                try await deployment.stopProxying("up")
                let all = try await registry.get("/v2/up/a/b/tags/list")
                #expect(all.text == "{\"name\":\"up/a/b\",\"tags\":[\"C\",\"a\",\"b\",\"d\"]}")
                let page = try await registry.get("/v2/up/a/b/tags/list?n=2")
                #expect(page.text.contains("[\"C\",\"a\"]"))
                let link = try #require(page.headers[values: .link].first)
                #expect(link == "</v2/up/a/b/tags/list?n=2&last=a>; rel=\"next\"")
                let rest = try await registry.get("/v2/up/a/b/tags/list?n=2&last=a")
                #expect(rest.text.contains("[\"b\",\"d\"]") && rest.headers[values: .link].isEmpty)
                let none = try await registry.get("/v2/up/a/b/tags/list?n=0")
                #expect(none.text.contains("\"tags\":[]") && none.headers[values: .link].isEmpty)
                #expect(try await registry.get("/v2/up/a/other/tags/list").errorCode == "NAME_UNKNOWN")

                let referrers = try await registry.get("/v2/up/a/b/referrers/\(image.digest)")
                #expect(referrers.headers[.contentType] == ImageFixture.ociIndex)
                #expect(referrers.text.contains(signature.digest.description))
                let filtered = try await registry.get("/v2/up/a/b/referrers/\(image.digest)?artifactType=x%2Fy")
                #expect(filtered.text.contains("\"manifests\":[]"))
                let unknown = try await registry.get("/v2/up/a/b/referrers/\(OCI.Digest.of([1]))")
                #expect(unknown.status == 200 && unknown.text.contains("\"manifests\":[]"))
                #expect(try await registry.get("/v2/up/a/b/referrers/sha256:x").status == 400)
            }
        }
    }
}

extension HTTPField.Name {
    static let warning = field("Warning")
    static let link = field("Link")

    static func field(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
