// SPDX-License-Identifier: Apache-2.0

/// Decides over a tag from what is cached and what upstream said. Pure; ages are measured by the database's clock.
package enum TagRules {
    /// What to do before a tag is served.
    package enum BeforeServing: Sendable, Hashable {
        case serve
        case askUpstream
        /// Upstream isn't to be asked at the moment: go on as if it had just failed like this.
        case failed(FetchFailure)
    }

    /// What to do when upstream couldn't be asked, or didn't know the tag.
    package enum AfterFailure: Sendable, Hashable {
        case serveStale
        case fail
    }

    /// A signature is fresh with what it signs: one that was confirmed before its image was is older than the image, and
    /// may have been joined by others since.
    /// - Parameter tag: nil when no live tag is cached
    package static func beforeServing(
        _ tag: TagRecord?,
        config: ProxyCacheConfig?,
        upstream: UpstreamHealth = .closed
    ) -> BeforeServing {
        guard let config else { return .serve }
        if let tag, tag.sinceCheck < config.freshness, tag.sinceCheck <= tag.sinceSubjectCheck ?? tag.sinceCheck {
            return .serve
        }
        return upstream.refusal.map { .failed($0) } ?? .askUpstream
    }

    /// A failure says nothing against a copy that was right a short time ago: inside the staleness period it is served.
    /// That holds for a true 404 as well, unless the organization hides what upstream has deleted. Outside of the period
    /// the cause goes to the client.
    package static func afterFailure(
        _ tag: TagRecord?,
        _ failure: FetchFailure,
        config: ProxyCacheConfig
    ) -> AfterFailure {
        afterFailure(sinceCheck: tag?.sinceCheck, failure, config: config)
    }

    /// The same for anything that upstream confirmed a while ago.
    /// - Parameter sinceCheck: nil when nothing is cached
    package static func afterFailure(
        sinceCheck: Duration?,
        _ failure: FetchFailure,
        config: ProxyCacheConfig
    ) -> AfterFailure {
        guard let sinceCheck else { return .fail }
        if failure.cause == .notFound, config.onUpstreamDelete == .hide { return .fail }
        guard let staleness = config.staleness else { return .serveStale }
        return sinceCheck <= staleness ? .serveStale : .fail
    }
}
