// SPDX-License-Identifier: Apache-2.0

import Supervision
import TestSupport
import Testing

@Suite("Listening address")
struct ListeningAddressTests {
    @Test("an address that is in use, or that this machine hasn't got, is refused by its name")
    func check() async throws {
        try await ScriptedUpstream.with { server in
            let used = #expect(throws: SupervisionError.self) {
                try ListeningAddress.check(host: "127.0.0.1", port: server.port)
            }
            #expect(used?.description == "can't listen at 127.0.0.1:\(server.port): Address already in use")
            #expect(throws: SupervisionError.self, "in use on one of all addresses") {
                try ListeningAddress.check(host: "0.0.0.0", port: server.port)
            }
        }
        let foreign = #expect(throws: SupervisionError.self) {
            try ListeningAddress.check(host: "192.0.2.1", port: 0)
        }
        #expect(foreign?.description == "can't listen at 192.0.2.1:0: Cannot assign requested address")
    }

    @Test("a free address is left free", arguments: ["127.0.0.1", "localhost", "0.0.0.0"])
    func free(_ host: String) throws {
        let port = try freePort()
        for _ in 0..<3 { #expect(throws: Never.self) { try ListeningAddress.check(host: host, port: port) } }
    }
}
