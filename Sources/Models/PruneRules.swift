// SPDX-License-Identifier: Apache-2.0

/// Something that pruning can end: the live lifetime of a tag, or the hold on a manifest that was pulled by digest.
package struct PruneCandidate: Sendable, Hashable {
    package enum Root: Sendable, Hashable {
        case tag(TagID)
        case hold
    }

    package let root: Root
    package let member: PruneGraph.MemberKey
    /// Somebody's image is arriving through it.
    package let isInFlight: Bool

    package init(root: Root, member: PruneGraph.MemberKey, isInFlight: Bool = false) {
        self.root = root
        self.member = member
        self.isInFlight = isInFlight
    }
}

/// Decides which images go so that others have room. Pure.
package enum PruneRules {
    /// The least recently used candidates whose end frees so many bytes; nil when all of them together don't. None is
    /// among them whose end would free nothing.
    /// - Parameters:
    ///   - candidates: least recently used first
    ///   - graph: knows the members of all candidates and what they have
    package static func victims(
        among candidates: [PruneCandidate],
        freeing deficit: Int64,
        in graph: PruneGraph
    ) -> [PruneCandidate]? {
        guard deficit > 0 else { return [] }
        var rest = graph
        var freed: Int64 = 0
        var victims: [PruneCandidate] = []
        for candidate in candidates {
            victims.append(candidate)
            freed += rest.release(candidate.member)
            if freed >= deficit { return withoutVain(victims, in: graph) }
        }
        return nil
    }

    /// Those of ``victims(among:freeing:in:)`` that are ended first, when they are many: of the first `count` candidates, or of
    /// as many as it takes to free anything. Nil when all candidates together free nothing.
    package static func firstVictims(
        among candidates: [PruneCandidate],
        freeing deficit: Int64,
        count: Int,
        in graph: PruneGraph
    ) -> [PruneCandidate]? {
        var rest = graph
        var freed: Int64 = 0
        for (index, candidate) in candidates.enumerated() {
            freed += rest.release(candidate.member)
            if freed >= deficit || (freed > 0 && index + 1 >= count) { break }
        }
        return freed > 0 ? victims(among: candidates, freeing: min(deficit, freed), in: graph) : nil
    }

    /// Leaves out whose end isn't needed for what the others free: a tag whose layers a younger image keeps, say. Leaving one
    /// out changes nothing of what another one is needed for.
    private static func withoutVain(_ victims: [PruneCandidate], in graph: PruneGraph) -> [PruneCandidate] {
        var rest = graph
        for victim in victims { _ = rest.release(victim.member) }
        return victims.filter { rest.hasFreed(by: $0.member) }
    }

    package static func freed(by victims: [PruneCandidate], in graph: PruneGraph) -> Int64 {
        var rest = graph
        return victims.reduce(0) { $0 + rest.release($1.member) }
    }
}

/// What becomes of a manifest that is about to be stored.
package enum Admission: Sendable, Hashable {
    /// There is room.
    case fits
    /// There is room once these are ended.
    case prune([PruneCandidate])
    /// There is none, and there will be none: the organization's policy for oversized images decides.
    case cannotFit
    /// There is none as long as images are arriving, or nobody could tell in time.
    case later
    /// A Reject threshold, in percent, is reached.
    case rejected(percent: Int)
}

/// Decides whether an image may be stored. Pure.
package enum AdmissionRules {
    /// What is known without looking at candidates; nil when these decide.
    /// - Parameters:
    ///   - missing: bytes of the image that the organization hasn't alive
    ///   - size: bytes of the whole image
    package static func beforePruning(missing: Int64, size: Int64, usage: Usage, quota: Quota?) -> Admission? {
        guard let quota, missing > 0 else { return .fits }
        let reached = quota.thresholds.filter { $0.kind == .reject }
            .first { usage.liveBytes >= $0.bytes(of: quota.limitBytes) }
        if let reached { return .rejected(percent: reached.percent) }
        if missing <= quota.limitBytes - usage.liveBytes { return .fits }
        // Nothing is pruned for what can't fit anyhow.
        return size > quota.limitBytes ? .cannotFit : nil
    }

    /// - Parameter candidates: least recently used first, without those that are never ended
    package static func byPruning(
        deficit: Int64,
        candidates: [PruneCandidate],
        graph: PruneGraph
    ) -> Admission {
        let idle = candidates.filter { !$0.isInFlight }
        if let victims = PruneRules.victims(among: idle, freeing: deficit, in: graph) { return .prune(victims) }
        return PruneRules.victims(among: candidates, freeing: deficit, in: graph) == nil ? .cannotFit : .later
    }
}
