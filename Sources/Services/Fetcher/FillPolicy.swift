// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models

/// How often what nobody waits for is tried, and when again (pure).
enum FillPolicy {
    static let maximumAttempts = 6
    private static let retry = RetryPolicy(base: .seconds(30), cap: .seconds(600))
    /// An upstream may ask for a day; a fill doesn't wait that long.
    private static let longestRetryAfter: Duration = .seconds(3_600)

    /// When to try again after a failure; nil when another try would end like this one.
    static func delay(after failure: FetchFailure, attempt: Int) -> Duration? {
        switch failure.cause {
        case .notFound, .denied, .badContent, .unsupported, .refusedAddress, .quotaExceeded: return nil
        case .rateLimited, .upstreamError, .unreachable, .timeout, .cache: break
        }
        let asked = min(longestRetryAfter, .seconds(max(0, failure.retryAfterSeconds ?? 0)))
        return max(asked, retry.delay(afterFailures: attempt))
    }

    /// What becomes of a job that failed. Who waits is told at once.
    static func outcome(of job: ClaimedJob, _ failure: FetchFailure, result: String) -> JobOutcome {
        guard job.isFill, let delay = delay(after: failure, attempt: job.attempt) else {
            return .discard(reason: failure.message, result: result)
        }
        return .retry(after: delay, reason: failure.message, result: result)
    }
}
