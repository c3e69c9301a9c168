// SPDX-License-Identifier: Apache-2.0

package import Models

/// Decides when an upstream may be asked, and hears how it answered. Shared knowledge of all fetchers stands behind it.
package protocol UpstreamGovernor: Sendable {
    /// Returns once a request may be sent to the registry at this base URL.
    /// - Parameter isBlob: it is for a blob, which limits don't count: those of an image whose manifest was the last that they
    ///   allow are still to be had
    /// - Throws: ``FetchFailure`` when it isn't to be asked at the moment; `CancellationError`.
    func admit(_ baseURL: String, isBlob: Bool) async throws
    /// The registry answered, whatever it said; with its rate limit if it told one.
    func answered(_ baseURL: String, _ limit: RateLimit?) async
    /// The registry failed; as the answer to a probe that says that its breaker stays open.
    func failed(_ baseURL: String, _ failure: FetchFailure, isProbe: Bool) async
}
