// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Addresses

@Suite("Addresses and networks")
struct IPAddressTests {
    @Test(
        "addresses are read, and written in their canonical form",
        arguments: [
            ("1.2.3.4", "1.2.3.4"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"),
            ("::1", "::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("64:ff9b::7f00:1", "64:ff9b::7f00:1"),
        ]
    )
    func readAndWritten(_ text: String, _ canonical: String) throws {
        #expect(try #require(IPAddress(text)).description == canonical)
    }

    @Test("bytes are in network order")
    func bytes() throws {
        #expect(try #require(IPAddress("1.2.3.4")).bytes == [1, 2, 3, 4])
        #expect(try #require(IPAddress("102:304::")).bytes == [1, 2, 3, 4] + Array(repeating: 0, count: 12))
    }

    @Test(
        "a form that programs read differently is no address",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "256.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
            "01.2.3.4", "1.2.3.-4", "1.2.3.+4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4/8", "1.2.3.4:80", "[::1]", ":", ":::",
            "1::2::3", "12345::", "::g", "::1.2.3", "fe80::1%lo", "::1/128", "localhost", "\u{661}.1.1.1",
        ]
    )
    func noAddress(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(
        "a network contains the addresses that share its prefix",
        arguments: [
            ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true), ("192.168.1.128/25", "192.168.1.127", false),
            ("192.168.1.128/25", "192.168.1.128", true), ("192.168.1.128/25", "192.168.1.255", true),
            ("100.64.0.0/10", "100.127.255.255", true), ("100.64.0.0/10", "100.128.0.0", false),
            ("1.2.3.4/32", "1.2.3.4", true), ("1.2.3.4/32", "1.2.3.5", false), ("1.2.3.4/31", "1.2.3.5", true),
            ("1.2.3.4", "1.2.3.4", true), ("1.2.3.4", "1.2.3.5", false),
            ("0.0.0.0/0", "255.255.255.255", true), ("0.0.0.0/0", "::", false), ("::/0", "ffff::", true),
            ("::/0", "1.2.3.4", false), ("::1", "::1", true), ("::1", "::2", false), ("::1/128", "::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true), ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2000::/3", "3fff::", true), ("2000::/3", "4000::", false), ("::ffff:0:0/96", "::ffff:1.2.3.4", true),
            ("::ffff:0:0/96", "1.2.3.4", false),
        ]
    )
    func contains(_ network: String, _ address: String, _ isInside: Bool) throws {
        #expect(try CIDR(network).contains(#require(IPAddress(address))) == isInside)
    }

    @Test("a network is written with its prefix length", arguments: [("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1/128")])
    func written(_ text: String, _ expected: String) throws {
        #expect(try CIDR(text).description == expected)
    }

    @Test(
        "what is no network is refused by name",
        arguments: [
            "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/a", "10.0.0.0/8/8", "::/129", "x/8",
        ]
    )
    func noNetwork(_ text: String) {
        let error = #expect(throws: AddressError.self) { _ = try CIDR(text) }
        #expect(error?.description.contains("\"\(text)\"") == true)
    }
}
