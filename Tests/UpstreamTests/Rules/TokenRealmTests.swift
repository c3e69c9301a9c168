// SPDX-License-Identifier: Apache-2.0

import Foundation
import Models
import OCI
import Testing

@testable import Upstream

@Suite("Token servers")
struct TokenRealmTests {
    private func realm(_ realm: String?, service: String? = nil, for upstream: String) throws -> TokenRealm {
        var parameters: [String: String] = [:]
        parameters["realm"] = realm
        parameters["service"] = service
        return try TokenRealm(AuthChallenge(scheme: "bearer", parameters: parameters), for: .sample(upstream))
    }

    @Test(
        "a registry may name its own origin, and the server that is known to issue its tokens",
        arguments: [
            ("quay.io", "https://quay.io/v2/auth"), ("quay.io", "https://quay.io:443/v2/auth"),
            ("quay.io", "HTTPS://QUAY.io/v2/auth"), ("registry.example:8443", "https://registry.example:8443/token"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token"),
            ("http://registry.example", "http://registry.example/"),
            ("docker.io", "https://auth.docker.io/token"), ("docker.io", "https://registry-1.docker.io/token"),
            ("registry-1.docker.io", "https://auth.docker.io/token"),
            ("index.docker.io", "https://auth.docker.io/token"),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ]
    )
    func trusted(_ upstream: String, _ url: String) throws {
        #expect(try realm(url, for: upstream).url(scope: "s").hasPrefix(url + "?service="))
    }

    @Test(
        "no other token server is trusted",
        arguments: [
            ("quay.io", "https://evil.example/token"), ("quay.io", "https://auth.quay.io/token"),
            ("quay.io", "https://quay.io.evil.example/token"), ("quay.io", "https://quay.io:8443/token"),
            ("quay.io", "http://quay.io/v2/auth"), ("quay.io", "https://auth.docker.io/token"),
            ("registry.example:8443", "https://registry.example/token"),
            ("http://127.0.0.1:5000", "http://localhost:5000/token"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/"),
            ("http://127.0.0.1:5000", "https://127.0.0.1:5000/token"),
            ("http://registry.example", "http://169.254.169.254/"),
            ("docker.io", "https://evil-docker.io/token"), ("docker.io", "https://docker.io.evil.example/token"),
            ("docker.io", "https://auth.docker.io.evil.example/token"), ("docker.io", "https://evil.docker.io/token"),
            ("docker.io", "https://docker.io/token"), ("docker.io", "https://auth.docker.io:8443/token"),
            ("docker.io", "http://auth.docker.io/token"), ("docker.io", "http://auth.docker.io:443/token"),
            ("docker.io", "https://auth.docker.io./token"), ("docker.io", "https://gitlab.com/jwt/auth"),
            ("registry.gitlab.com", "https://evil.gitlab.com/"), ("gitlab.com", "https://registry.gitlab.com/"),
        ]
    )
    func untrusted(_ upstream: String, _ url: String) {
        let error = #expect(throws: FetchFailure.self) { _ = try realm(url, for: upstream) }
        #expect(error?.cause == .refusedAddress)
        #expect(error?.isTemporary == false)
    }

    @Test(
        "a realm that is missing, senseless or carries credentials is none",
        arguments: [
            nil, "", "token", "/token", "//quay.io/token", "https://", "https:///token", "ftp://quay.io/token",
            "https://user@quay.io/token", "https://quay.io:s3cret@evil.example/", "https://quay.io@evil.example/s3cret",
            "https://auth.docker.io@evil.example/token", "https://quay.io\\@evil.example/", "https://quay.io /token",
        ] as [String?]
    )
    func senseless(_ url: String?) {
        for upstream in ["quay.io", "docker.io"] {
            let error = #expect(throws: FetchFailure.self) { _ = try realm(url, for: upstream) }
            #expect(error?.cause == .upstreamError)
            #expect(error?.message.contains("s3cret") == false)
        }
    }

    @Test("a token is asked for with the realm's own query, the service and our scope")
    func url() throws {
        let realm = try realm(
            "https://auth.docker.io/token?account=a%26b&flag",
            service: "registry.docker.io",
            for: "docker.io"
        )
        #expect(
            realm.url(scope: "repository:library/alpine:pull")
                == "https://auth.docker.io/token?account=a%26b&flag&service=registry.docker.io"
                + "&scope=repository:library/alpine:pull"
        )
    }

    @Test(
        "a service can't smuggle parameters into the query",
        arguments: ["a&scope=evil", "a#b", "a=b&c", "a b", "\u{E9}"]
    )
    func service(_ service: String) throws {
        let realm = try realm("https://quay.io/auth", service: service, for: "quay.io")
        let items = try #require(URLComponents(string: realm.url(scope: "s"))?.queryItems)
        #expect(items == [URLQueryItem(name: "service", value: service), URLQueryItem(name: "scope", value: "s")])
    }

    @Test("without a service the realm's host stands for it")
    func noService() throws {
        let realm = try realm("https://quay.io/auth", for: "quay.io")
        #expect(realm.url(scope: "a:b") == "https://quay.io/auth?service=quay.io&scope=a:b")
    }

    @Test("hosts that the organization lists are trusted, and no others")
    func listed() throws {
        let challenge = { AuthChallenge(scheme: "bearer", parameters: ["realm": $0]) }
        func repository(_ hosts: [String], insecure: Bool = false) -> UpstreamRepository {
            .sample(insecure ? "http://quay.io" : "quay.io", realmHosts: hosts)
        }
        _ = try TokenRealm(challenge("https://auth.example/t"), for: repository(["AUTH.example"]))
        _ = try TokenRealm(challenge("https://auth.example:8443/t"), for: repository(["auth.example:8443"]))
        _ = try TokenRealm(
            challenge("http://auth.example:5000/t"),
            for: repository(["auth.example:5000"], insecure: true)
        )
        for (realm, hosts) in [
            ("https://auth.example:8443/t", ["auth.example"]), ("http://auth.example/t", ["auth.example"]),
            ("https://evil-auth.example/t", ["auth.example"]), ("https://auth.example.evil/t", ["auth.example"]),
            ("https://auth.example@evil/t", ["auth.example"]),
        ] {
            #expect(throws: FetchFailure.self, "\(realm)") {
                _ = try TokenRealm(challenge(realm), for: repository(hosts))
            }
        }
    }
}
