// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import Testing

@testable import HTTPTransport
@testable import Upstream

@Suite("Redirects")
struct RedirectTests {
    private static let url = "https://registry.example/v2/a/blobs/sha256:1"

    private func target(_ location: String?, from url: String = url, hop: Int = 1) throws -> String {
        var headers = HTTPFields()
        headers[.location] = location
        let head = HTTPTransportHead(status: 307, headers: headers, httpVersion: "HTTP/1.1", peerAddress: nil)
        return try Redirect.target(of: head, from: url, hop: hop, repository: .sample(), "blob sha256:1")
    }

    @Test(
        "a location is resolved against the URL that named it",
        arguments: [
            ("https://cdn.example/b", "https://cdn.example/b"),
            ("https://cdn.example:8443/b?x=1", "https://cdn.example:8443/b?x=1"),
            ("/other?x=1", "https://registry.example/other?x=1"),
            ("sha256:2", nil),  // a scheme of that name
            ("./sha256:2", "https://registry.example/v2/a/blobs/sha256:2"),
            ("../manifests/x", "https://registry.example/v2/a/manifests/x"),
            ("//cdn.example/b", "https://cdn.example/b"),
            ("?x=1", "https://registry.example/v2/a/blobs/sha256:1?x=1"),
            ("https://[2606:4700::1111]:443/b", "https://[2606:4700::1111]:443/b"),
        ]
    )
    func resolved(_ location: String, _ expected: String?) throws {
        if let expected {
            #expect(try target(location) == expected)
        } else {
            #expect(throws: FetchFailure.self) { try target(location) }
        }
    }

    @Test("a signed location is followed byte for byte")
    func signed() throws {
        let location = "https://cdn.example/b/%2F%3d?X-Sig=a%2Fb%3D%3d+c&Policy=~e_y.J-&x=%20&empty="
        #expect(try target(location) == location)
    }

    @Test("plain HTTP may lead to plain HTTP and to HTTPS")
    func fromPlain() throws {
        #expect(try target("http://cdn.example/b", from: "http://registry.example/x") == "http://cdn.example/b")
        #expect(try target("https://cdn.example/b", from: "http://registry.example/x") == "https://cdn.example/b")
    }

    @Test("HTTPS never leads to plain HTTP", arguments: ["http://cdn.example/b", "HTTP://cdn.example/b"])
    func downgrade(_ location: String) {
        let error = #expect(throws: FetchFailure.self) { _ = try target(location) }
        #expect(error?.cause == .refusedAddress)
        #expect(error?.isTemporary == false)
    }

    @Test(
        "a location that is missing or senseless, of another scheme or with credentials is not followed",
        arguments: [
            nil, "", "ftp://cdn.example/b", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "https://",
            "https:///b", "https://user@cdn.example/s3cret", "https://user:s3cret@cdn.example/b",
            "https://:s3cret@cdn.example/", "//user:s3cret@cdn.example/b", "https://cdn.example/a b?sig=s3cret",
            "https://cdn.example:port/?sig=s3cret", "https://[::1/?sig=s3cret", "https://cdn.example\\@evil.example/",
        ] as [String?]
    )
    func senseless(_ location: String?) {
        let error = #expect(throws: FetchFailure.self) { _ = try target(location) }
        #expect(error?.cause == .upstreamError)
        #expect(error?.message.contains("s3cret") == false)
    }

    @Test("five redirects are followed, a sixth is not")
    func hops() throws {
        #expect(try target("https://cdn.example/b", hop: 5) == "https://cdn.example/b")
        let error = #expect(throws: FetchFailure.self) { _ = try target("https://cdn.example/b", hop: 6) }
        #expect(error?.cause == .upstreamError)
    }

    @Test(
        "an origin is scheme, host and port",
        arguments: [
            ("https://a.example/x", "https://a.example/y?z#w", true),
            ("https://a.example", "https://a.example:443/", true),
            ("http://a.example/", "http://a.example:80/", true), ("https://A.Example/", "HTTPS://a.example/", true),
            ("https://a.example/", "http://a.example/", false),
            ("https://a.example/", "https://a.example:8443/", false),
            ("http://a.example:443/", "https://a.example:443/", false),
            ("https://a.example/", "https://b.example/", false),
            ("https://a.example/", "https://x.a.example/", false),
            ("https://a.example/", "https://a.example.evil/", false),
            ("https://a.example/", "https://a.example@evil/", false),
            ("https://a.example/", "https://u@a.example/", false),
            ("http://127.0.0.1:1/", "http://localhost:1/", false), ("http://[::1]:1/", "http://[::1]:1/x", true),
            ("ftp://a.example/", "ftp://a.example/", false), ("", "", false), ("/a", "/a", false),
        ]
    )
    func origin(_ left: String, _ right: String, _ isSame: Bool) {
        #expect(Redirect.isSameOrigin(left, right) == isSame)
        #expect(Redirect.isSameOrigin(right, left) == isSame)
    }
}
