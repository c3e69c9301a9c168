// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import TestSupport
import Testing

/// Clients that use the cache as a mirror and name the registry that they mean.
@Suite struct MirrorTests {
    private static let image = ImageFixture.image(layers: [.text("layer")])

    @Test("ns selects the organization, by path without it and with it, and is confirmed")
    func selects() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            upstream.add(Self.image, to: "team/app", tag: "t")
            try await ScriptedUpstream.with { other in
                other.add(Self.image, to: "team/app", tag: "t")
                try await Deployment.with(["up=\(upstream.url)", "team=\(other.url)/team"]) { deployment in
                    let table = [
                        ("/v2/a/b/manifests/t?ns=\(upstream.host)", upstream),
                        ("/v2/up/a/b/manifests/t?ns=\(upstream.host)", upstream),
                        ("/v2/team/app/manifests/t?ns=\(upstream.host)", upstream),
                        ("/v2/team/app/manifests/t?ns=\(other.host)", other),
                    ]
                    for (path, asked) in table {
                        asked.forgetRequests()
                        let got = try await deployment.registry.get(path)
                        expectServed(got, Self.image.bytes, "\(path)")
                        #expect(got.headers[.ociNamespace] == asked.host)
                        #expect(asked.count("manifests/t") == 1, "\(path)")
                    }
                    let blob = "/v2/a/b/blobs/\(Self.image.blobs[1].digest)"
                    let layer = try await deployment.registry.get("\(blob)?ns=\(upstream.host)")
                    #expect(layer.text == "layer" && layer.headers[.ociNamespace] == upstream.host)
                    let tags = try await deployment.registry.get("/v2/a/b/tags/list?n=0&ns=\(upstream.host)")
                    #expect(tags.text.contains("\"name\":\"a/b\""))
                }
            }
        }
    }

    @Test("a registry that no organization stands for is refused, and nobody is asked")
    func refused() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "a/b", tag: "t")
            try await Deployment.with(["up=http://127.0.0.1:9", "team=http://127.0.0.1:9/team"]) { deployment in
                for path in ["/v2/a/b/manifests/t", "/v2/up/a/b/manifests/t", "/v2/team/x/blobs/\(OCI.Digest.of([1]))"]
                {
                    let got = try await deployment.registry.get("\(path)?ns=\(upstream.host)")
                    #expect(got.status == 404 && got.errorCode == "NAME_UNKNOWN", "\(got.text)")
                    #expect(got.text.contains(upstream.host))
                }
                let bad = try await deployment.registry.get("/v2/a/b/manifests/t?ns=a%2Fb")
                #expect(bad.status == 400 && bad.errorCode == "NAME_INVALID")
                #expect(upstream.requests.isEmpty)
            }
        }
    }

    @Test("paths that start with no organization's name are the default organization's, as dockerd asks for them")
    func defaultOrganization() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "library/app", tag: "t")
            upstream.add(Self.image, to: "app", tag: "t")
            upstream.add(Self.image, to: "other/app", tag: "t")
            let environment = ["ENTREPOT_DEFAULT_ORGANIZATION": "up"]
            let proxies = ["up=\(upstream.url)", "other=\(upstream.url)"]
            try await Deployment.with(proxies, environment: environment) { deployment in
                let registry = deployment.registry
                // What dockerd does: a ping, a token for the path as it knows it, the manifest, the blobs.
                let ping = try await registry.get("/v2/")
                #expect(ping.status == 401)
                let scope = "repository:library/app:pull"
                let token = try await registry.get("/v2/auth?service=entrepot&scope=\(scope)").text
                struct Token: Decodable { let token: String }
                let bearer = "Bearer " + (try JSONDecoder().decode(Token.self, from: Data(token.utf8)).token)
                let path = "/v2/library/app/manifests/t"
                let manifest = try await registry.send(.get, path, [.authorization: bearer])
                expectServed(manifest, Self.image.bytes)
                let layer = "/v2/library/app/blobs/\(Self.image.blobs[1].digest)"
                #expect(try await registry.send(.get, layer, [.authorization: bearer]).text == "layer")
                #expect(upstream.count("/v2/library/app/manifests/") > 0)

                for path in ["app", "up/library/app", "other/app"] {
                    expectServed(try await registry.get("/v2/\(path)/manifests/t"), Self.image.bytes, "\(path)")
                }
                #expect(upstream.count("/v2/app/manifests/") > 0 && upstream.count("/v2/other/") == 0)
                let missing = try await registry.get("/v2/library/none/manifests/t")
                #expect(missing.status == 404 && missing.errorCode == "MANIFEST_UNKNOWN", "\(missing.text)")
            }
        }
    }

    @Test("a default organization that is private wants a token for the path as it was asked for")
    func privateDefault() async throws {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "library/app", tag: "t")
            let environment = ["ENTREPOT_DEFAULT_ORGANIZATION": "up"]
            try await Deployment.with(["up=\(upstream.url)"], environment: environment) { deployment in
                try await deployment.entrepot(["org", "access", "up", "private"])
                let path = "/v2/library/app/manifests/t"
                let refused = try await deployment.registry.get(path)
                #expect(refused.status == 401)
                let challenge = try #require(refused.headers[.wwwAuthenticate])
                #expect(challenge.contains("scope=\"repository:library/app:pull\""))
                let basic = Data("admin:\(Deployment.operatorPassword)".utf8).base64EncodedString()
                let answer = try await deployment.registry.send(
                    .get,
                    "/v2/auth?service=entrepot&scope=repository:library/app:pull",
                    [.authorization: "Basic \(basic)"]
                )
                struct Token: Decodable { let token: String }
                let token = try JSONDecoder().decode(Token.self, from: Data(answer.text.utf8)).token
                let got = try await deployment.registry.send(.get, path, [.authorization: "Bearer \(token)"])
                expectServed(got, Self.image.bytes)
            }
        }
    }

    @Test("without a default organization such paths are nobody's, and its name is checked")
    func noDefault() async throws {
        try await ScriptedUpstream.with { upstream in
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                let answer = try await deployment.registry.get("/v2/library/app/manifests/t")
                #expect(answer.status == 401 && upstream.requests.isEmpty)
            }
        }
        let frontend = try await TestProcess(
            Executables.path("registry-frontend"),
            environment: ["ENTREPOT_DEFAULT_ORGANIZATION": "No Name"]
        )
        #expect(try await frontend.exitStatus() == 2)
        #expect(frontend.lines.contains { $0.contains("DEFAULT_ORGANIZATION") }, "\(frontend.lines)")
    }
}

extension HTTPField.Name {
    fileprivate static let ociNamespace = field("OCI-Namespace")
}
