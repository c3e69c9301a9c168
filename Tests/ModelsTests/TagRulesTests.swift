// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import Testing

@Suite("Tag rules")
struct TagRulesTests {
    private static let upstream = UpstreamAddress(registry: "quay.io", namespace: nil, isInsecure: false)

    private static let failure = FetchFailure(.unreachable, "upstream is down")

    private func tag(checked age: Duration) -> TagRecord {
        TagRecord(id: TagID(rawValue: 1), digest: Digest.of([1, 2, 3]), sinceCheck: age)
    }

    @Test("with no freshness period every pull asks upstream")
    func zeroFreshnessAsks() {
        let config = ProxyCacheConfig(upstream: Self.upstream)
        #expect(TagRules.beforeServing(tag(checked: .zero), config: config) == .askUpstream)
    }

    @Test("a tag is served unasked until its freshness period is over, and not a moment longer")
    func freshnessBoundary() {
        let config = ProxyCacheConfig(upstream: Self.upstream, freshness: .seconds(60))
        #expect(TagRules.beforeServing(tag(checked: .milliseconds(59_999)), config: config) == .serve)
        #expect(TagRules.beforeServing(tag(checked: .seconds(60)), config: config) == .askUpstream)
        #expect(TagRules.beforeServing(nil, config: config) == .askUpstream)
    }

    @Test("a signature is served unasked only as long as its image was checked before it")
    func signatures() {
        let config = ProxyCacheConfig(upstream: Self.upstream, freshness: .seconds(60))
        func signature(checked age: Duration, image: Duration?) -> TagRules.BeforeServing {
            let digest = Digest.of([1, 2, 3])
            let tag = TagRecord(id: TagID(rawValue: 1), digest: digest, sinceCheck: age, sinceSubjectCheck: image)
            return TagRules.beforeServing(tag, config: config)
        }
        #expect(signature(checked: .seconds(30), image: .seconds(31)) == .serve)
        #expect(signature(checked: .seconds(30), image: .seconds(30)) == .serve)
        #expect(signature(checked: .seconds(30), image: .seconds(29)) == .askUpstream)
        #expect(signature(checked: .seconds(30), image: nil) == .serve)
        #expect(signature(checked: .seconds(61), image: .seconds(70)) == .askUpstream)
    }

    @Test("an organization without upstream serves what it has")
    func noUpstream() {
        #expect(TagRules.beforeServing(tag(checked: .seconds(1_000_000)), config: nil) == .serve)
    }

    @Test("a failure is bridged inside the staleness period, its last moment included")
    func stalenessBoundary() {
        let config = ProxyCacheConfig(upstream: Self.upstream, staleness: .seconds(100))
        #expect(TagRules.afterFailure(tag(checked: .seconds(100)), Self.failure, config: config) == .serveStale)
        #expect(TagRules.afterFailure(tag(checked: .milliseconds(100_001)), Self.failure, config: config) == .fail)
        #expect(TagRules.afterFailure(nil, Self.failure, config: config) == .fail)
    }

    @Test("staleness is the expiration unless it is set")
    func stalenessDefault() {
        #expect(ProxyCacheConfig(upstream: Self.upstream, expiration: .seconds(7)).staleness == .seconds(7))
        #expect(ProxyCacheConfig(upstream: Self.upstream).staleness == .seconds(86_400))
    }

    @Test("a true 404 is bridged like a failure, unless the organization hides what upstream deleted")
    func upstreamDelete() {
        let deleted = FetchFailure(.notFound, "gone")
        let known = tag(checked: .seconds(1))
        let serving = ProxyCacheConfig(upstream: Self.upstream)
        #expect(TagRules.afterFailure(known, deleted, config: serving) == .serveStale)
        let hiding = ProxyCacheConfig(upstream: Self.upstream, onUpstreamDelete: .hide)
        #expect(TagRules.afterFailure(known, deleted, config: hiding) == .fail)
        #expect(TagRules.afterFailure(known, Self.failure, config: hiding) == .serveStale)
    }

    @Test("staleness without end bridges a failure of any length")
    func endlessStaleness() {
        let config = ProxyCacheConfig(upstream: Self.upstream, expiration: nil, staleness: nil)
        #expect(
            TagRules.afterFailure(tag(checked: .seconds(1_000_000_000)), Self.failure, config: config) == .serveStale
        )
    }

    @Test("while the breaker is open upstream isn't asked, but a fresh tag is served as ever")
    func openBreaker() {
        let config = ProxyCacheConfig(upstream: Self.upstream, freshness: .seconds(60))
        let open = UpstreamHealth(failures: 5, lastFailure: Self.failure, opensIn: .milliseconds(2_500))
        #expect(TagRules.beforeServing(tag(checked: .seconds(1)), config: config, upstream: open) == .serve)
        guard case .failed(let failure) = TagRules.beforeServing(nil, config: config, upstream: open) else {
            Issue.record("upstream is asked")
            return
        }
        #expect(failure.cause == .unreachable && failure.retryAfterSeconds == 3)
        #expect(failure.message.hasPrefix("upstream is down"))
        let over = UpstreamHealth(failures: 5, lastFailure: Self.failure, opensIn: .zero)
        #expect(TagRules.beforeServing(nil, config: config, upstream: over) == .askUpstream)
    }
}
