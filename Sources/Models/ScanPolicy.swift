// SPDX-License-Identifier: Apache-2.0

/// What an organization does with images that nobody has looked into yet.
package enum UnscannedPolicy: String, Sendable, Hashable, Codable, CaseIterable {
    /// Serves them.
    case allow
    /// Waits for the report, for as long as a client waits.
    case wait
    /// Refuses them.
    case deny
}

/// Which images an organization serves, by what the scanner says of them.
package struct ScanPolicy: Sendable, Hashable {
    /// An image with a finding this bad or worse, which a newer version ends, is refused; nil refuses none.
    package let blockSeverity: Severity?
    package let unscanned: UnscannedPolicy

    package init(blockSeverity: Severity? = nil, unscanned: UnscannedPolicy = .allow) {
        self.blockSeverity = blockSeverity
        self.unscanned = unscanned
    }

    package static let off = ScanPolicy()

    /// Whether there is anything to look up before an image is served.
    package var isOff: Bool { self == .off }
}

/// What is known of a manifest when somebody pulls it.
package struct ScanStanding: Sendable, Hashable {
    package let kind: Kind
    /// Nil when it isn't complete yet.
    package let state: ScanState?
    /// Of its report.
    package let worstFixable: ScanSummary.Fixable?
    /// Whether there is a report, be it an old one.
    package let hasReport: Bool

    package enum Kind: String, Sendable, Hashable {
        case image, index, artifact
    }

    package init(kind: Kind, state: ScanState?, hasReport: Bool, worstFixable: ScanSummary.Fixable? = nil) {
        self.kind = kind
        self.state = state
        self.hasReport = hasReport
        self.worstFixable = worstFixable
    }
}

extension ScanPolicy {
    package enum Decision: Sendable, Hashable {
        case serve
        /// A report may come: look again.
        case wait
        /// Never, for what the image has.
        case refuse(ScanSummary.Fixable)
        /// Not as long as nobody has looked into it.
        case refuseUnscanned
    }

    /// Pure. An index is served: each of its children is asked for by itself. So is what no scanner could look into.
    package func decide(_ standing: ScanStanding) -> Decision {
        guard standing.kind == .image, standing.state != .unsupported else { return .serve }
        guard standing.hasReport else {
            switch unscanned {
            case .allow: return .serve
            case .wait: return standing.state?.isResting == true ? .refuseUnscanned : .wait
            case .deny: return .refuseUnscanned
            }
        }
        guard let blockSeverity, let worst = standing.worstFixable, worst.severity >= blockSeverity else {
            return .serve
        }
        return .refuse(worst)
    }
}
