// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import Testing

@Suite("Upstream addresses")
struct UpstreamAddressTests {
    @Test(
        "registry, namespace and scheme are told apart",
        arguments: [
            ("quay.io", "https://quay.io", nil),
            ("quay.io/projectquay", "https://quay.io", "projectquay"),
            ("QUAY.io/a/b", "https://quay.io", "a/b"),
            ("http://127.0.0.1:15000", "http://127.0.0.1:15000", nil),
            ("https://registry.example:8443/team/", "https://registry.example:8443", "team"),
            ("http://[::1]:5000", "http://[::1]:5000", nil),
            ("docker.io", "https://registry-1.docker.io", nil),
            ("index.docker.io", "https://registry-1.docker.io", nil),
        ] as [(String, String, String?)]
    )
    func parses(_ text: String, _ base: String, _ namespace: String?) throws {
        let address = try UpstreamAddress(parsing: text)
        #expect(address.baseURL == base)
        #expect(address.namespace?.description == namespace)
    }

    @Test(
        "what could smuggle something into a URL is refused, and named",
        arguments: [
            "", "/", "ftp://quay.io", "user@quay.io", "user:pw@quay.io", "quay.io:0", "quay.io:65536", "quay.io:",
            "quay.io:80:80", "quay.io/UPPER", "quay.io/../x", "quay.io//x", "-quay.io", "quay..io", "qu ay.io",
            "quay.io?x=1", "quay.io#x", "[::1", "[zz]:1", "quay.io\r\nHost: x", "http://", "::1",
        ]
    )
    func refuses(_ text: String) {
        let error = #expect(throws: ModelError.self) { try UpstreamAddress(parsing: text) }
        #expect(error?.message.contains("upstream") == true)
    }

    @Test("on Docker Hub one-part names are official images, elsewhere they are themselves")
    func library() throws {
        let hub = try UpstreamAddress(parsing: "docker.io")
        let alpine = try RepositoryName("alpine")
        #expect(hub.canonical(alpine).description == "library/alpine")
        #expect(hub.upstreamName(of: alpine)?.description == "library/alpine")
        #expect(hub.canonical(try RepositoryName("bitnami/redis")).description == "bitnami/redis")
        let bound = try UpstreamAddress(parsing: "docker.io/library")
        #expect(bound.canonical(alpine).description == "alpine")
        #expect(bound.upstreamName(of: alpine)?.description == "library/alpine")
        #expect(try UpstreamAddress(parsing: "quay.io").canonical(alpine).description == "alpine")
    }

    @Test("a namespace-bound upstream can't be climbed out of, and over-long names have no upstream")
    func namespace() throws {
        let bound = try UpstreamAddress(parsing: "quay.io/projectquay")
        #expect(bound.upstreamName(of: try RepositoryName("quay"))?.description == "projectquay/quay")
        let long = try RepositoryName(String(repeating: "a", count: 250))
        #expect(bound.upstreamName(of: long) == nil)
    }

    @Test("organization names are one lower-case component", arguments: ["a", "A1", "a/b", "-a", "a_", "", "über"])
    func organizationNames(_ text: String) {
        #expect(throws: ModelError.self) { try OrganizationName(text) }
        #expect(OrganizationName(rawValue: "docker-hub.2") != nil)
    }
}
