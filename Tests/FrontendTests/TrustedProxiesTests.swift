// SPDX-License-Identifier: Apache-2.0

import Addresses
import HTTPTypes
import Testing

@testable import Frontend

/// What is believed of what proxies write.
@Suite("Trusted proxies")
struct TrustedProxiesTests {
    private typealias Hop = TrustedProxies.Hop

    private func claim(_ fields: TrustedProxies.Fields, _ values: [(String, String)]) throws -> Hop {
        var headers = HTTPFields()
        for (name, value) in values {
            headers.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
        }
        let networks = [try CIDR("10.0.0.0/8"), try CIDR("fd00::/8")]
        return TrustedProxies(networks: networks, fields: fields).claim(in: headers)
    }

    @Test(
        "the client is the last address that no trusted proxy has",
        arguments: [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7, 10.0.0.2, 10.0.0.3", "203.0.113.7"),
            ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
            ("2001:db8::7, fd00::1", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("203.0.113.7:4711", "203.0.113.7"),
            ("6.6.6.6, unknown", nil),
            ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
            ("6.6.6.6,", "6.6.6.6"),
            ("", nil), ("nonsense", nil), ("1.2.3", nil), ("127.1, x", nil),
        ] as [(String, String?)]
    )
    func address(_ value: String, _ client: String?) throws {
        #expect(try claim(.xForwarded, [("X-Forwarded-For", value)]).address == client)
        let hops = value.split(separator: ",").map {
            let hop = String($0.drop { $0 == " " })
            return hop.contains(":")
                ? "for=\"\(hop.hasPrefix("[") || !hop.contains("::") ? hop : "[\(hop)]")\"" : "for=\(hop)"
        }
        #expect(try claim(.forwarded, [("Forwarded", hops.joined(separator: ", "))]).address == client)
    }

    @Test("fields that come more than once are one list")
    func repeated() throws {
        let claim = try claim(.xForwarded, [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.7")])
        #expect(claim.address == "203.0.113.7")
    }

    @Test("scheme and host are those that the client used with the proxy that it met")
    func schemeAndHost() throws {
        let single = try claim(
            .xForwarded,
            [
                ("X-Forwarded-For", "203.0.113.7, 10.0.0.2"), ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "cache.example.com"),
            ]
        )
        #expect(single == Hop(address: "203.0.113.7", scheme: "https", host: "cache.example.com"))
        let chain = try claim(
            .xForwarded,
            [
                ("X-Forwarded-For", "6.6.6.6, 203.0.113.7, 10.0.0.2"), ("X-Forwarded-Proto", "ftp, HTTPS, http"),
                ("X-Forwarded-Host", "evil.example, cache.example.com, inner:80"),
            ]
        )
        #expect(chain == Hop(address: "203.0.113.7", scheme: "https", host: "cache.example.com"))
        let bare = try claim(.xForwarded, [("X-Forwarded-Proto", "https")])
        #expect(bare == Hop(address: nil, scheme: "https", host: nil))
    }

    @Test("RFC 7239: pairs of one element belong together, names have no case, values may be quoted")
    func standard() throws {
        let text =
            #"for=6.6.6.6;proto=http;host=evil.example, For="203.0.113.7:80";Proto=https;HOST="cache.example.com:443", for=10.0.0.2"#
        let claim = try claim(.forwarded, [("Forwarded", text)])
        #expect(claim == Hop(address: "203.0.113.7", scheme: "https", host: "cache.example.com:443"))
        #expect(try self.claim(.forwarded, [("Forwarded", #"for="203.0.113.7"#)]) == Hop(), "a quote that never ends")
        #expect(try self.claim(.forwarded, [("Forwarded", #"for="_hidden";proto=https"#)]).scheme == "https")
    }

    @Test("a scheme or host that can't be one is none")
    func invalid() throws {
        let claim = try claim(
            .xForwarded,
            [
                ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "javascript"),
                ("X-Forwarded-Host", "a\" realm=\"b"),
            ]
        )
        #expect(claim == Hop(address: "203.0.113.7", scheme: nil, host: nil))
    }

    @Test("the fields that the proxies don't write aren't read")
    func otherFields() throws {
        #expect(try claim(.forwarded, [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]) == Hop())
        #expect(try claim(.xForwarded, [("Forwarded", "for=6.6.6.6;proto=https")]) == Hop())
    }
}
