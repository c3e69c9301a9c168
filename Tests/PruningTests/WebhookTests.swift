// SPDX-License-Identifier: Apache-2.0

import Pruning
import Testing

@Suite("The webhook")
struct WebhookTests {
    @Test("signs as RFC 4231 test case 2 says")
    func signature() {
        let webhook = Webhook(url: "http://example.test", secret: "Jefe")
        #expect(
            webhook.signature(of: Array("what do ya want for nothing?".utf8))
                == "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        )
    }
}
