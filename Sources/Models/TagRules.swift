// SPDX-License-Identifier: Apache-2.0

/// Decides over a tag from what is cached and what upstream said. Pure; ages are measured by the database's clock.
package enum TagRules {
    /// What to do before a tag is served.
    package enum BeforeServing: Sendable, Hashable {
        case serve
        case askUpstream
    }

    /// What to do when upstream couldn't be asked or didn't know the tag.
    package enum AfterFailure: Sendable, Hashable {
        case serveStale
        case fail
    }

    package static func beforeServing(_ tag: TagRecord?, config: ProxyCacheConfig?) -> BeforeServing {
        guard let config else { return .serve }
        guard let tag else { return .askUpstream }
        return tag.sinceCheck < config.freshness ? .serve : .askUpstream
    }

    /// A failure, even a true 404, says nothing against a copy that was right a short time ago: inside the staleness
    /// period it is served. Outside of it the cause goes to the client.
    package static func afterFailure(_ tag: TagRecord?, config: ProxyCacheConfig) -> AfterFailure {
        guard let tag, tag.sinceCheck <= config.staleness else { return .fail }
        return .serveStale
    }
}
