// SPDX-License-Identifier: Apache-2.0

import Addresses
import Testing

@testable import HTTPTransport

@Suite("Address policy")
struct AddressPolicyTests {
    private func isPermitted(_ text: String) throws -> Bool {
        try AddressPolicy().permits(address: #require(IPAddress(text)), port: 443, host: "registry.example")
    }

    @Test(
        "no IPv4 address of a special range is connected to, from the first of the range to its last",
        arguments: [
            "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
            "127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255",
            "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255",
            "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255",
            "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255",
            "240.0.0.0", "255.255.255.254", "255.255.255.255",
        ]
    )
    func specialIPv4(_ text: String) throws {
        #expect(try !isPermitted(text))
    }

    @Test(
        "the IPv4 addresses beside those ranges are public",
        arguments: [
            "1.0.0.0", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
            "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
            "192.0.1.0", "192.0.1.255", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
            "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255",
            "203.0.114.0", "223.255.255.255",
        ]
    )
    func publicIPv4(_ text: String) throws {
        #expect(try isPermitted(text))
    }

    @Test(
        "no IPv6 address that isn't handed out for the public is connected to",
        arguments: [
            "::", "::1", "100::1", "1fff:ffff::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1",
            "2001:1ff:ffff::1", "2001:db8::1", "2001:db8:ffff::1", "3fff::1", "3fff:fff:ffff::1", "4000::1",
            "5f00::1", "fc00::1", "fd00:ec2::254", "fdff:ffff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1",
            "ffff::1",
        ]
    )
    func specialIPv6(_ text: String) throws {
        #expect(try !isPermitted(text))
    }

    @Test(
        "no IPv6 form of a special IPv4 address gets past",
        arguments: [
            // mapped
            "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
            // compatible, and translated by SIIT
            "::127.0.0.1", "::10.0.0.1", "::2", "::ffff:0:127.0.0.1",
            // 6to4
            "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1", "2002:a9fe:a9fe::",
            // NAT64
            "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe",
            // Teredo: the client's address with its bits flipped
            "2001:0:808:808:0:0:80ff:fffe", "2001:0:808:808:0:0:f5ff:fffe",
        ]
    )
    func embedded(_ text: String) throws {
        #expect(try !isPermitted(text))
    }

    @Test(
        "a network's own NAT64 prefix is refused whatever is in its last bytes: the address may be elsewhere in it",
        arguments: ["64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100:808:808", "64:ff9b:1::808:808", "64:ff9b:0:1::808:808"]
    )
    func localNAT64(_ text: String) throws {
        #expect(try !isPermitted(text))
    }

    @Test(
        "public IPv6 addresses, and forms that stand for public IPv4 addresses, are connected to",
        arguments: [
            "2606:4700:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2001:db7:ffff::1", "2001:db9::1",
            "2a00:1450:4001::5e", "2003::1", "3ffe::1", "3fff:1000::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
        ]
    )
    func publicIPv6(_ text: String) throws {
        #expect(try isPermitted(text))
    }

    @Test("a policy without restrictions permits everything", arguments: ["127.0.0.1", "169.254.169.254", "::1"])
    func unrestricted(_ text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(AddressPolicy.unrestricted.permits(address: address, port: 1, host: "anything"))
    }
}

@Suite("Exceptions to the address policy")
struct AllowedUpstreamTests {
    private func permits(_ allowed: String, _ address: String, _ port: Int, _ host: String) throws -> Bool {
        let policy = AddressPolicy(allowed: [try AllowedUpstream(allowed)])
        return try policy.permits(address: #require(IPAddress(address)), port: port, host: host)
    }

    @Test(
        "an exception covers what it says and nothing beside it",
        arguments: [
            // exception, address, port, host, permitted
            ("registry.internal", "10.0.0.1", 443, "registry.internal", true),
            ("Registry.INTERNAL", "10.0.0.1", 5000, "registry.internal", true),
            ("registry.internal", "10.0.0.1", 443, "evil.example", false),
            ("registry.internal", "10.0.0.1", 443, "a.registry.internal", false),
            ("registry.internal", "10.0.0.1", 443, "evilregistry.internal", false),
            ("registry.internal", "10.0.0.1", 443, "registry.internal.evil", false),
            ("localhost:5000", "127.0.0.1", 5000, "localhost", true),
            ("localhost:5000", "::1", 5000, "localhost", true),
            ("localhost:5000", "127.0.0.1", 5001, "localhost", false),
            ("localhost:5000", "127.0.0.1", 5000, "evil.example", false),
            ("127.0.0.1", "127.0.0.1", 80, "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", 80, "localhost", true),
            ("127.0.0.1", "127.0.0.2", 80, "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", 80, "::ffff:127.0.0.1", false),
            ("127.0.0.1:5000", "127.0.0.1", 5000, "127.0.0.1", true),
            ("127.0.0.1:5000", "127.0.0.1", 5001, "127.0.0.1", false),
            ("127.0.0.1:5000", "127.0.0.1", 5000, "evil.example", false),
            ("10.1.0.0/16", "10.1.255.255", 443, "anything.example", true),
            ("10.1.0.0/16", "10.2.0.0", 443, "anything.example", false),
            ("::1", "::1", 443, "localhost", true),
            ("::1", "::2", 443, "localhost", false),
            ("FD00::/8", "fd12:3456::1", 443, "registry.internal", true),
            ("fd00::/8", "fe80::1", 443, "registry.internal", false),
            ("0.0.0.0/0", "169.254.169.254", 80, "anything", true),
            ("0.0.0.0/0", "::1", 80, "anything", false),
        ] as [(String, String, Int, String, Bool)]
    )
    func table(_ allowed: String, _ address: String, _ port: Int, _ host: String, _ isPermitted: Bool) throws {
        #expect(try permits(allowed, address, port, host) == isPermitted)
    }

    @Test("an exception takes nothing away from what is public")
    func publicStaysPublic() throws {
        #expect(try permits("10.0.0.0/8", "1.1.1.1", 443, "registry.example"))
    }

    @Test(
        "nonsense is refused by name",
        arguments: [
            "", " ", ":5000", "host:", "host:0", "host:65536", "host:-1", "host:http", "-host", ".host", "a b",
            "http://host", "host/path", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/8", "/8", "fe80::/129",
            "10.0.0/8", "300.1.1.1", "127.1", "0177.0.0.1", "2130706433", "[::1]:443", "*.internal", "user@host",
            "r\u{E9}gistre.example", "host\n",
        ]
    )
    func nonsense(_ text: String) {
        let error = #expect(throws: AddressError.self) { _ = try AllowedUpstream(text) }
        #expect(error?.description.contains("\"\(text)\"") == true)
    }

    @Test("a host name has at most 253 characters")
    func longest() throws {
        let longest = String(repeating: "a", count: 253)
        #expect(try permits(longest, "10.0.0.1", 443, longest))
        #expect(throws: AddressError.self) { _ = try AllowedUpstream(longest + "a") }
    }
}
