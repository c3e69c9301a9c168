// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTPTransport

@Suite("Targets of requests")
struct RequestTargetTests {
    @Test(
        "scheme, host and port are read from a URL",
        arguments: [
            ("http://registry.example", false, "registry.example", 80),
            ("https://registry.example/v2/", true, "registry.example", 443),
            ("HTTPS://Registry.EXAMPLE:8443/v2/?a=b#c", true, "registry.example", 8443),
            ("http://127.0.0.1:5000/x", false, "127.0.0.1", 5000), ("http://[::1]:5000/x", false, "::1", 5000),
            ("http://[FD00::1]/", false, "fd00::1", 80), ("http://h:1/", false, "h", 1),
            ("http://h:65535/", false, "h", 65535),
            ("http://h/?@evil.example", false, "h", 80), ("http://h/#@evil.example", false, "h", 80),
            ("http://h/a@evil.example:1/", false, "h", 80),
        ] as [(String, Bool, String, Int)]
    )
    func read(_ url: String, _ isSecure: Bool, _ host: String, _ port: Int) throws {
        let target = try RequestTarget(url)
        #expect(target.isSecure == isSecure)
        #expect(target.host == host)
        #expect(target.port == port)
    }

    @Test(
        "a URL without host, with credentials or with bytes that no URL has is refused",
        arguments: [
            "", "/path", "registry.example/path", "//registry.example/", "http:", "http://", "http:///x",
            "http://user@h/", "http://user:secret@h/", "http://:secret@h/", "http://@h/", "http://h:0/",
            "http://h:65536/", "http://h:x/", "http://h /", "http://h/ x",
            "http://h/\r\nX-Injected: 1", "http://h/\u{0}", "http://h/\u{7F}", "http://h/\u{E9}",
            "http://h\\@evil.example/",
            "http://[::1/", "http://::1/",
        ]
    )
    func refused(_ url: String) {
        let error = #expect(throws: HTTPTransportError.self) { _ = try RequestTarget(url) }
        #expect(error?.code == .badURL)
        #expect(error?.description.contains("secret") == false)
    }

    @Test(
        "only http and https are spoken",
        arguments: ["ftp://h/", "file:///etc/passwd", "gopher://h:70/_x", "unix://h/", "javascript:alert(1)"]
    )
    func scheme(_ url: String) {
        let error = #expect(throws: HTTPTransportError.self) { _ = try RequestTarget(url) }
        #expect(error?.code == .unsupportedScheme)
    }
}
