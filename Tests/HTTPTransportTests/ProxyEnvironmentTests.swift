// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTPTransport

@Suite("Proxies by environment")
struct ProxyEnvironmentTests {
    private func proxy(_ environment: [String: String], _ url: String) throws -> String? {
        try ProxyEnvironment(environment).proxy(for: RequestTarget(url))
    }

    @Test(
        "the variable of the scheme counts, in lower case first, then the one for all",
        arguments: [
            ([:], nil, nil),
            (["http_proxy": "h"], "h", nil),
            (["https_proxy": "s"], nil, "s"),
            (["HTTPS_PROXY": "S"], nil, "S"),
            (["https_proxy": "s", "HTTPS_PROXY": "S"], nil, "s"),
            (["all_proxy": "a"], "a", "a"),
            (["ALL_PROXY": "A"], "A", "A"),
            (["all_proxy": "a", "ALL_PROXY": "A"], "a", "a"),
            (["http_proxy": "h", "https_proxy": "s", "all_proxy": "a"], "h", "s"),
            (["https_proxy": "", "HTTPS_PROXY": "S"], nil, "S"),
            (["https_proxy": "", "all_proxy": "a"], "a", "a"),
        ] as [([String: String], String?, String?)]
    )
    func variables(_ environment: [String: String], _ http: String?, _ https: String?) throws {
        #expect(try proxy(environment, "http://registry.example/") == http)
        #expect(try proxy(environment, "https://registry.example/") == https)
    }

    @Test("upper-case HTTP_PROXY isn't read: under CGI a client can set it")
    func httpoxy() throws {
        #expect(try proxy(["HTTP_PROXY": "http://evil.example"], "http://registry.example/") == nil)
        #expect(try proxy(["HTTP_PROXY": "http://evil.example"], "https://registry.example/") == nil)
    }

    @Test(
        "what NO_PROXY names is reached directly",
        arguments: [
            ("*", "https://registry.example/", true),
            ("registry.example", "https://registry.example/", true),
            ("registry.example", "https://REGISTRY.example:8443/", true),
            ("Registry.Example", "https://registry.example/", true),
            ("registry.example", "https://a.registry.example/", true),
            ("registry.example", "https://evilregistry.example/", false),
            ("registry.example", "https://registry.example.evil/", false),
            (".example", "https://registry.example/", true),
            (".registry.example", "https://registry.example/", true),
            ("*.example", "https://registry.example/", true),
            ("example:5000", "https://registry.example:5000/", true),
            ("example:5000", "https://registry.example/", false),
            ("registry.example:443", "https://registry.example/", true),
            ("registry.example:443", "http://registry.example/", false),
            ("other.example,registry.example", "https://registry.example/", true),
            ("other.example, registry.example", "https://registry.example/", true),
            ("other.example registry.example", "https://registry.example/", true),
            (",, ,", "https://registry.example/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.0.0.0/8", "https://registry.example/", false),
            ("10.1.2.3", "https://10.1.2.3:5000/", true),
            ("10.1.2.3", "https://10.1.2.30/", false),
            ("10.1.2.3:5000", "https://10.1.2.3:5000/", true),
            ("10.1.2.3:5000", "https://10.1.2.3/", false),
            ("::1", "https://[::1]:5000/", true),
            ("fd00::/8", "https://[fd00::1]/", true),
            ("fd00::/8", "https://[fe80::1]/", false),
            ("", "https://registry.example/", false),
        ]
    )
    func exceptions(_ list: String, _ url: String, _ isDirect: Bool) throws {
        for name in ["no_proxy", "NO_PROXY"] {
            let proxy = try proxy(["all_proxy": "p", name: list], url)
            #expect((proxy == nil) == isDirect, "\(name)=\(list)")
        }
    }

    @Test("lower-case no_proxy is read instead of NO_PROXY, not with it")
    func lowerCaseExceptions() throws {
        let environment = ["all_proxy": "p", "no_proxy": "a.example", "NO_PROXY": "b.example"]
        #expect(try proxy(environment, "https://a.example/") == nil)
        #expect(try proxy(environment, "https://b.example/") == "p")
    }

    @Test("without a proxy there is none")
    func none() throws {
        #expect(try ProxyEnvironment.none.proxy(for: RequestTarget("https://registry.example/")) == nil)
    }
}
