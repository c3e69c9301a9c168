// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

@Suite("Circuit breaker and rate limit rules")
struct CircuitRulesTests {
    private static let down = FetchFailure(.unreachable, "down")

    @Test("it opens at the fifth failure in a row, for five seconds")
    func threshold() {
        for failures in 1..<5 {
            #expect(CircuitRules.opening(after: Self.down, failures: failures, openings: 0) == nil)
        }
        #expect(CircuitRules.opening(after: Self.down, failures: 5, openings: 0) == .seconds(5))
    }

    @Test("each further opening lasts twice as long, up to a minute")
    func growth() {
        let lengths = (0..<8).compactMap { CircuitRules.opening(after: Self.down, failures: 5, openings: $0) }
        #expect(lengths == [5, 10, 20, 40, 60, 60, 60, 60].map { .seconds($0) })
        #expect(CircuitRules.opening(after: Self.down, failures: 5, openings: 1_000_000) == .seconds(60))
    }

    @Test("a limited upstream is left alone at once, for as long as it says, within an hour")
    func limited() {
        func opening(_ seconds: Int?) -> Duration? {
            let failure = FetchFailure(.rateLimited, "429", retryAfterSeconds: seconds)
            return CircuitRules.opening(after: failure, failures: 1, openings: 0)
        }
        #expect(opening(nil) == .seconds(30))
        #expect(opening(0) == .seconds(30))
        #expect(opening(7) == .seconds(7))
        #expect(opening(86_400) == .seconds(3_600))
    }

    @Test("a 503 that says when to come back counts at once")
    func unavailable() {
        let failure = FetchFailure(.upstreamError, "503", retryAfterSeconds: 12)
        #expect(CircuitRules.opening(after: failure, failures: 1, openings: 0) == .seconds(12))
    }

    @Test(
        "what concerns one object or our rights to it says nothing of the upstream",
        arguments: [FetchFailure.Cause.notFound, .denied, .badContent, .unsupported, .refusedAddress, .cache]
    )
    func irrelevant(_ cause: FetchFailure.Cause) {
        let failure = FetchFailure(cause, "no", retryAfterSeconds: 9)
        #expect(!CircuitRules.counts(failure))
        #expect(CircuitRules.opening(after: failure, failures: 100, openings: 0) == nil)
    }

    @Test("rate limits as Docker Hub and the IETF draft write them")
    func rateLimit() {
        #expect(
            RateLimit(limit: "100;w=21600", remaining: "76;w=21600")
                == RateLimit(limit: 100, remaining: 76, windowSeconds: 21_600)
        )
        #expect(RateLimit(limit: nil, remaining: "0") == RateLimit(limit: nil, remaining: 0, windowSeconds: nil))
        #expect(RateLimit(limit: "5; w=60", remaining: "4") == RateLimit(limit: 5, remaining: 4, windowSeconds: 60))
        #expect(RateLimit(limit: "100", remaining: nil) == nil)
        #expect(RateLimit(limit: "x", remaining: "-1") == nil)
        #expect(RateLimit(limit: nil, remaining: "many") == nil)
    }
}
