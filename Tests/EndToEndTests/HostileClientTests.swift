// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import OCI
import TestSupport
import Testing

/// Requests that try to mean two things at once, or to steer what we say.
@Suite struct HostileClientTests {
    @Test("requests that smuggle another one are refused, and never answered twice")
    func smuggling() async throws {
        let inner = "GET /v2/smuggled/a/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n"
        let requests = [
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: \(inner.utf8.count)\r\n\r\n" + inner,
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: +\(inner.utf8.count)\r\n\r\n" + inner,
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + inner,
            "GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        ]
        try await Deployment.with([], fetchers: 0) { deployment in
            let port = try #require(deployment.registry.base.split(separator: ":").last.flatMap { Int($0) })
            for request in requests {
                let answer = try await rawExchange(port: port, request)
                #expect(!answer.contains("smuggled"), "\(request.prefix(90)): \(answer.prefix(300))")
                #expect(
                    answer.isEmpty || answer.hasPrefix("HTTP/1.1 400 "),
                    "\(request.prefix(90)): \(answer.prefix(300))"
                )
            }
            try await deployment.heard()
            let alive = try await deployment.registry.get("/v2/")
            #expect(alive.status == 401)
            #expect(!deployment.frontends[0].lines.contains { $0.contains("smuggled") })
        }
    }

    @Test("a request that doesn't say its host, or says two, is refused, and what follows it isn't answered")
    func hosts() async throws {
        let next = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
        let requests = [
            "GET /v2/ HTTP/1.1\r\n\r\n", "GET /v2/ HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
            "GET /v2/ HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
            "POST /v2/auth HTTP/1.1\r\nContent-Length: 12\r\n\r\ngrant_type=x",
        ]
        try await Deployment.with([], fetchers: 0) { deployment in
            let port = try #require(deployment.registry.base.split(separator: ":").last.flatMap { Int($0) })
            for request in requests {
                let answer = try await rawExchange(port: port, request + next)
                #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.hasSuffix("}]}"), "\(request): \(answer)")
                #expect(answer.contains("UNSUPPORTED") && !answer.contains(" 401 "), "\(request): \(answer)")
            }
            let head = try await rawExchange(port: port, "HEAD /v2/ HTTP/1.1\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 400 ") && head.hasSuffix("\r\n\r\n"), "\(head)")
            let second = try await rawExchange(port: port, next + requests[0])
            #expect(second.hasPrefix("HTTP/1.1 401 ") && second.contains("HTTP/1.1 400 "), "\(second)")
            let last = try await rawExchange(port: port, next + "GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n")
            let closing = last.ranges(of: "\r\nConnection: close\r\n")
            #expect(closing.count == 1, "of the refusal alone: \(last)")
        }
    }

    @Test("HTTP/1.0, absolute targets and odd methods are answered like the rest")
    func oddities() async throws {
        try await Deployment.with([], fetchers: 0) { deployment in
            let port = try #require(deployment.registry.base.split(separator: ":").last.flatMap { Int($0) })
            let old = try await rawExchange(port: port, "GET /v2/ HTTP/1.0\r\n\r\n")
            #expect(old.contains(" 401 "), "\(old)")
            let absolute = try await rawExchange(
                port: port,
                "GET http://elsewhere/v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            #expect(
                absolute.contains(" 404 ") || absolute.contains(" 401 ") || absolute.contains(" 400 "),
                "\(absolute)"
            )
            let odd = try await rawExchange(port: port, "BREW /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(odd.contains(" 405 ") || odd.contains(" 400 "), "\(odd)")
        }
    }

    @Test("Host and X-Forwarded fields steer nothing that we send")
    func forwarded() async throws {
        try await ScriptedUpstream.with { upstream in
            for tag in ["a", "b"] { upstream.add(.image(layers: [.text("x")]), to: "r", tag: tag) }
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                for tag in ["a", "b"] {
                    #expect(try await deployment.registry.get("/v2/up/r/manifests/\(tag)").status == 200)
                }
                var headers = HTTPFields()
                for name in ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL"] {
                    headers[try #require(HTTPField.Name(name))] = "evil.example"
                }
                let page = try await deployment.registry.get("/v2/up/r/tags/list?n=1", headers)
                #expect(page.status == 200)
                let all = page.headers.map { "\($0.name): \($0.value)" }.joined(separator: "\n") + page.text
                #expect(!all.contains("evil"), "\(all)")
            }
        }
    }

    @Test("names can't begin a line in the log, nor a statement in the database")
    func injection() async throws {
        let names = [
            "/v2/up/a%0d%0aINJECTED/manifests/t", "/v2/up/a';DROP%20TABLE%20tag;--/manifests/t",
            "/v2/up/%25/manifests/t", "/v2/up/a/manifests/t'%20OR%20'1'='1",
        ]
        try await Deployment.with(["up=http://127.0.0.1:9"]) { deployment in
            for name in names {
                #expect(try await deployment.registry.get(name).status == 400, "\(name)")
            }
            try await deployment.heard()
            #expect(!deployment.frontends[0].lines.contains { $0.hasPrefix("INJECTED") })
            let tags = try await deployment.registry.get("/v2/up/a/tags/list")
            #expect(tags.status == 503, "\(tags.text)")
        }
    }

    @Test("stored bytes and folders are readable by nobody else")
    func fileModes() async throws {
        try await ScriptedUpstream.with { upstream in
            let image = ImageFixture.image(layers: [.text("secret layer")])
            upstream.add(image, to: "a", tag: "t")
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                #expect(try await deployment.registry.get("/v2/up/a/manifests/t").status == 200)
                #expect(try await deployment.registry.get("/v2/up/a/blobs/\(image.blobs[1].digest)").status == 200)
                let file = try await deployment.placedFile()
                for path in [
                    file, deployment.storage.path + "/storage/partials", deployment.storage.path + "/storage/blobs",
                ] {
                    #expect(try permissions(of: path) & 0o007 == 0, "\(path)")
                }
            }
        }
    }
}
