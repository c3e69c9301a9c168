// SPDX-License-Identifier: Apache-2.0

import ServiceRuntime
import Testing

@Suite("Host and port")
struct HostPortTests {
    @Test(
        "an address is read, and written as it was read",
        arguments: [
            ("127.0.0.1:5080", "127.0.0.1", 5080), ("localhost:0", "localhost", 0),
            ("registry.example:65535", "registry.example", 65_535),
            ("[::1]:443", "::1", 443), ("[::]:5080", "::", 5080), ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", 80), ("my_host-1:80", "my_host-1", 80),
        ]
    )
    func good(_ text: String, _ host: String, _ port: Int) throws {
        let address = try #require(HostPort(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.description == text)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", ":", ":80", "host", "host:", "host:65536", "host:-1", "host:+80", "host:8 0", "host: 80", "host:80 ",
            "host:٨٠", "host:http", "host:99999999999999999999", "::1:80", "::1", "[::1]", "[::1", "::1]:80", "[]:80",
            "[::1]x:80", "x[::1]:80", "[host]:80", "http://host:80", "host/path:80", "user@host:80", "a b:80", "a,b:80",
            "höst:80",
        ]
    )
    func bad(_ text: String) {
        #expect(HostPort(text) == nil)
    }

    @Test("control characters are refused wherever they are")
    func control() {
        for character in ["\u{0}", "\t", "\n", "\r\n", "\u{1B}", "\u{7F}"] {
            for text in ["a\(character):80", "\(character)a:80", "a:\(character)80", "a:80\(character)"] {
                #expect(HostPort(text) == nil, "\(text.debugDescription)")
            }
        }
    }

    @Test("an address that means everywhere is reached on loopback, any other as it is")
    func fromHere() throws {
        let table = [
            "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80", "host:80": "host:80",
        ]
        for (text, reached) in table {
            #expect(try #require(HostPort(text)).fromHere.description == reached)
        }
    }
}
