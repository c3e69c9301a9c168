// SPDX-License-Identifier: Apache-2.0

package import Models
package import Tracing

/// Proof that a worker may act on a job: the token changes with every claim, so a worker that was paused past its
/// lease holds a token that no statement accepts any more.
package struct JobLease: Hashable, Sendable {
    package let job: JobID
    package let token: Int64
}

/// A job that this worker holds.
package struct ClaimedJob: Sendable {
    package let lease: JobLease
    package let kind: JobKind
    /// JSON of the kind's ``JobPayload``.
    package let payload: String
    /// As it was when the job was claimed.
    package let priority: Int
    /// 1 at the first attempt.
    package let attempt: Int
    package let maxAttempts: Int
    /// Of the request that made the job; says nothing when nobody asked for it.
    package let context: ServiceContext

    package var isLastAttempt: Bool { attempt >= maxAttempts }

    /// Whether nobody waited for it when it was claimed.
    package var isFill: Bool { priority >= JobPriority.fill }
}

package enum JobState: String, Sendable, Hashable {
    case available, running, retryable, completed, discarded

    package var isFinal: Bool { self == .completed || self == .discarded }
}

/// A job as those who wait for it see it.
package struct JobStatus: Sendable, Hashable {
    package let id: JobID
    package let state: JobState
    /// JSON of the result, once final.
    package let result: String?
    package let payload: String

    /// What a job that has ended well found.
    /// - Throws: the ``FetchFailure`` that it ended with; `DecodingError`
    package func success<Success: Codable & Sendable & Hashable>(_ type: Success.Type = Success.self) throws -> Success
    {
        let verdict = try result.map { try JSONText.decode(FetchVerdict<Success>.self, $0) }
        if let success = verdict?.success { return success }
        throw verdict?.failure ?? FetchFailure(.cache, "job \(id) ended without a verdict")
    }
}

/// What a handler makes of a job. Failures that concern the job are outcomes, not exceptions.
package enum JobOutcome: Sendable {
    /// The handler has completed the row itself, in the transaction that published its work.
    case finished
    /// Nothing more to do; the result (JSON) goes into the row.
    case complete(result: String)
    /// Not now; counts as an attempt. After the last one the job is discarded with the result.
    case retry(after: Duration, reason: String, result: String)
    /// Never; the result tells those who wait.
    case discard(reason: String, result: String)
}

/// Turns one kind of job into an outcome. Jobs are at-least-once: handling one twice must do no harm.
package protocol JobHandler: Sendable {
    var kind: JobKind { get }
    /// Errors thrown are failures of the worker (database lost, bug): the job is retried, the error kept in its row.
    func handle(_ job: ClaimedJob) async throws -> JobOutcome
}
