// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import OCI
import PullThrough
import TestSupport
import Testing

@testable import Frontend

@Suite("What clients are told of failures")
struct FailureMappingTests {
    private static let table: [(FetchFailure.Cause, RegistryError.Code, Int)] = [
        (.notFound, .manifestUnknown, 404),
        (.denied, .denied, 403),
        (.rateLimited, .tooManyRequests, 429),
        (.unsupported, .unsupported, 404),
        (.upstreamError, .unavailable, 502),
        (.badContent, .unavailable, 502),
        (.refusedAddress, .unavailable, 502),
        (.unreachable, .unavailable, 503),
        (.cache, .unavailable, 503),
        (.timeout, .unavailable, 504),
    ]

    @Test("every cause has its own code and status", arguments: table)
    func causes(_ cause: FetchFailure.Cause, _ code: RegistryError.Code, _ status: Int) {
        let failure = FetchFailure(cause, "upstream quay.io/team/app: a reason", upstreamStatus: 418)
        let error = RegistryError(failure, unknown: .manifestUnknown)
        #expect(error.code == code)
        #expect(error.status == status)
        #expect(error.message == "upstream quay.io/team/app: a reason")
    }

    @Test("only what upstream truly hasn't is unknown, as what was asked for", arguments: table)
    func unknown(_ cause: FetchFailure.Cause, _ code: RegistryError.Code, _ status: Int) {
        for unknown in [RegistryError.Code.blobUnknown, .nameUnknown] {
            let error = RegistryError(FetchFailure(cause, "a reason"), unknown: unknown)
            #expect((error.code == unknown) == (cause == .notFound))
        }
    }

    @Test("when to come back is passed on", arguments: [nil, 0, 7, 86_400])
    func retryAfter(_ seconds: Int?) {
        let failure = FetchFailure(.rateLimited, "slow down", retryAfterSeconds: seconds)
        let reply = Reply(RegistryError(failure, unknown: .blobUnknown))
        #expect(reply.headers[.retryAfter] == seconds.map(String.init))
    }

    @Test("pulls are logged by how they went")
    func outcomes() {
        let failure = FetchFailure(.timeout, "too slow")
        let outcomes: [(PulledManifest.Outcome, String)] = [
            (.hit, "hit"), (.revalidated, "revalidated"), (.miss, "miss"),
            (.stale(failure, sinceCheck: .seconds(1)), "stale"),
        ]
        for (outcome, name) in outcomes { #expect(PullOutcome(outcome).rawValue == name) }
    }
}
