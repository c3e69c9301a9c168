// SPDX-License-Identifier: Apache-2.0

/// Why a fetch ended without its object. Written into the job by the fetcher, read by every frontend that waits.
package struct FetchFailure: Error, Hashable, Sendable, Codable, CustomStringConvertible {
    package enum Cause: String, Hashable, Sendable, Codable {
        /// Upstream says that it has no such thing: a true 404.
        case notFound
        /// Upstream wants credentials, other ones, or more rights.
        case denied
        /// Upstream limits us (429).
        case rateLimited
        /// Upstream answered with a failure of its own (5xx) or with something that is no registry's answer.
        case upstreamError
        /// Upstream sent content that fails its digest, its length or the manifest rules.
        case badContent
        /// Something that we don't serve, such as a schema 1 manifest.
        case unsupported
        /// DNS, refused connection, TLS: upstream can't be reached.
        case unreachable
        /// Upstream, or we, were too slow.
        case timeout
        /// The address is private, or a redirect or token realm leads where we don't go.
        case refusedAddress
        /// The organization's quota has no room for it.
        case quotaExceeded
        /// The cache itself failed: storage, database, a worker that died again and again.
        case cache
    }

    package let cause: Cause
    /// One line for people: names upstream and reason, carries no secret.
    package let message: String
    /// Seconds after which upstream wants to be asked again (429, 503).
    package let retryAfterSeconds: Int?
    /// Status that upstream answered with, if it answered.
    package let upstreamStatus: Int?

    package init(_ cause: Cause, _ message: String, retryAfterSeconds: Int? = nil, upstreamStatus: Int? = nil) {
        self.cause = cause
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
        self.upstreamStatus = upstreamStatus
    }

    /// Upstream hasn't refused anything yet: it has said that nothing is left of what it allows.
    package var isForeseen: Bool { cause == .rateLimited && upstreamStatus == nil }

    package var description: String { message }

    /// Whether the same request may succeed a moment later without anybody doing something.
    package var isTemporary: Bool {
        switch cause {
        case .upstreamError, .unreachable, .timeout: true
        case .notFound, .denied, .rateLimited, .badContent, .unsupported, .refusedAddress, .quotaExceeded, .cache: false
        }
    }
}
