// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

@Suite("List rules")
struct ListRulesTests {
    private static let upstream = UpstreamAddress(registry: "quay.io", namespace: nil, isInsecure: false)

    private func decision(
        _ age: Duration?,
        freshness: Duration = .zero,
        _ health: UpstreamHealth = .closed
    ) -> TagRules.BeforeServing {
        let config = ProxyCacheConfig(upstream: Self.upstream, freshness: freshness)
        return ListRules.beforeServing(sinceCheck: age, config: config, upstream: health)
    }

    @Test("a list is good for ten seconds even where tags are never fresh, and longer where they are")
    func freshness() {
        #expect(decision(.milliseconds(9_999)) == .serve)
        #expect(decision(.seconds(10)) == .askUpstream)
        #expect(decision(nil) == .askUpstream)
        #expect(decision(.seconds(59), freshness: .seconds(60)) == .serve)
        #expect(decision(.seconds(60), freshness: .seconds(60)) == .askUpstream)
    }

    @Test("an upstream that is known to be down isn't asked")
    func open() throws {
        let failure = FetchFailure(.unreachable, "upstream is down")
        let health = UpstreamHealth(failures: 5, lastFailure: failure, opensIn: .seconds(20))
        let refusal = try #require(health.refusal)
        #expect(decision(.seconds(11), health) == .failed(refusal))
        #expect(decision(.seconds(9), health) == .serve)
    }
}
