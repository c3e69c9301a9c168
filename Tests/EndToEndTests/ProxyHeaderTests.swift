// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// Who a client is, and what it calls us, behind a proxy and without one.
@Suite("Behind a proxy")
struct ProxyHeaderTests {
    private static let image = ImageFixture.single(seed: 72, size: 1_000)

    private static func headers(_ address: String) throws -> HTTPFields {
        var headers = HTTPFields()
        for (name, value) in [
            ("X-Forwarded-For", address), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "cache.example.com"),
        ] { headers[try #require(HTTPField.Name(name))] = value }
        return headers
    }

    /// The challenge of `/v2/`, and the address in the log of a pull, of a client that says it is somebody else.
    private func seen(_ environment: [String: String]) async throws -> (challenge: String, address: String) {
        try await ScriptedUpstream.with { upstream in
            upstream.add(Self.image, to: "app", tag: "1")
            return try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                let headers = try Self.headers("203.0.113.7")
                let ping = try await deployment.registry.get("/v2/", headers)
                #expect(ping.status == 401)
                let pull = try await deployment.registry.get("/v2/cache/app/manifests/1", headers)
                #expect(pull.status == 200)
                let address = try await deployment.client.query(
                    "SELECT address FROM log_entry WHERE kind = 'pull_repo'"
                )
                .decode(String.self)
                return (ping.headers[.wwwAuthenticate] ?? "", try #require(address.first))
            }
        }
    }

    @Test("what a client writes about itself is not believed")
    func spoofed() async throws {
        let (challenge, address) = try await seen([:])
        #expect(challenge.hasPrefix("Bearer realm=\"http://127.0.0.1:"), "\(challenge)")
        #expect(address == "127.0.0.1")
    }

    @Test("nor what a proxy writes that isn't on the list")
    func stranger() async throws {
        let (challenge, address) = try await seen(["ENTREPOT_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1"])
        #expect(challenge.hasPrefix("Bearer realm=\"http://127.0.0.1:"), "\(challenge)")
        #expect(address == "127.0.0.1")
    }

    @Test("what a trusted proxy writes is: in the log, and in where tokens come from")
    func trusted() async throws {
        let (challenge, address) = try await seen(["ENTREPOT_TRUSTED_PROXIES": "127.0.0.0/8"])
        #expect(challenge.hasPrefix("Bearer realm=\"https://cache.example.com/v2/auth\""), "\(challenge)")
        #expect(address == "203.0.113.7")
    }

    @Test("a trusted proxy that doesn't say how clients came leaves that to the setting")
    func silent() async throws {
        let environment = ["ENTREPOT_TRUSTED_PROXIES": "127.0.0.1", "ENTREPOT_PREFERRED_URL_SCHEME": "https"]
        try await Deployment.with([], fetchers: 0, environment: environment) { deployment in
            var headers = try Self.headers("203.0.113.7")
            headers[try #require(HTTPField.Name("X-Forwarded-Proto"))] = nil
            let challenge = try await deployment.registry.get("/v2/", headers).headers[.wwwAuthenticate] ?? ""
            #expect(challenge.hasPrefix("Bearer realm=\"https://cache.example.com/v2/auth\""), "\(challenge)")
        }
    }

    @Test("wrong logins are held against the client and not against its proxy")
    func throttling() async throws {
        let environment = ["ENTREPOT_TRUSTED_PROXIES": "127.0.0.1"]
        try await Deployment.with([], fetchers: 0, environment: environment) { deployment in
            func login(_ name: String, from address: String) async throws -> Int {
                var headers = try Self.headers(address)
                headers[.authorization] = "Basic " + Data("\(name):wrong".utf8).base64EncodedString()
                return try await deployment.registry.get("/v2/auth?service=entrepot", headers).status
            }
            // 25 from one address, each for another name, so that it is the address that is held to account.
            var last = 0
            for attempt in 0..<30 where last != 429 { last = try await login("nobody\(attempt)", from: "203.0.113.7") }
            #expect(last == 429)
            #expect(try await login("somebody", from: "203.0.113.8") == 401)
        }
    }

    @Test(
        "a list of proxies, or a kind of fields, that can't be used ends the start and is named",
        arguments: [
            ("ENTREPOT_TRUSTED_PROXIES", "10.0.0.0/40", "TRUSTED_PROXIES"),
            ("ENTREPOT_TRUSTED_PROXY_FIELDS", "via", "TRUSTED_PROXY_FIELDS"),
        ]
    )
    func wrongSetting(_ variable: String, _ value: String, _ name: String) async throws {
        let process = try await TestProcess(Executables.path("registry-frontend"), environment: [variable: value])
        #expect(try await process.exitStatus() == 2)
        #expect(process.lines.contains { $0.contains(name) && $0.contains(value) }, "\(process.lines)")
    }
}
