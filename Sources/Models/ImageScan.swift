// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// What is known of one manifest, with its report.
package struct ImageScan: Sendable, Hashable {
    package let kind: ScanStanding.Kind
    /// Nil when it isn't complete yet, and for indexes.
    package let state: ScanState?
    /// Why there is no report, or no newer one.
    package let reason: String?
    package let reportedAt: Date?
    package let summary: ScanSummary?
    /// As the scanner sent it: the newest one there is, even if a newer one couldn't be had.
    package let report: String?

    package init(
        kind: ScanStanding.Kind,
        state: ScanState?,
        reason: String?,
        reportedAt: Date?,
        summary: ScanSummary?,
        report: String?
    ) {
        self.kind = kind
        self.state = state
        self.reason = reason
        self.reportedAt = reportedAt
        self.summary = summary
        self.report = report
    }

    /// The model's word: `queued`, `scanned`, `failed`, `unsupported` or `manifest_layer_too_large`.
    package var publicStatus: String { ScanLine.publicStatus(kind, state, hasReport: report != nil) }
}

/// What there is to say of a manifest in a list.
package struct ScanLine: Sendable, Hashable {
    package let kind: ScanStanding.Kind
    /// Nil when it isn't complete yet.
    package let state: ScanState?
    /// Nil without a report.
    package let summary: ScanSummary?

    package init(kind: ScanStanding.Kind, state: ScanState?, summary: ScanSummary?) {
        self.kind = kind
        self.state = state
        self.summary = summary
    }

    package var publicStatus: String { Self.publicStatus(kind, state, hasReport: summary != nil) }

    static func publicStatus(_ kind: ScanStanding.Kind, _ state: ScanState?, hasReport: Bool) -> String {
        if hasReport { return ScanState.scanned.publicStatus }
        guard kind == .image else { return ScanState.unsupported.publicStatus }
        return (state ?? .queued).publicStatus
    }

    /// Whether it has more of the worst there is. No report is worse than none of what reports tell.
    package func isWorse(than other: ScanLine) -> Bool {
        guard let summary else { return other.summary?.total == 0 }
        guard let counts = other.summary?.counts else { return summary.total > 0 }
        return !summary.counts.reversed().lexicographicallyPrecedes(counts.reversed())
    }
}

/// How scanning goes, in all.
package struct ScanOverview: Sendable, Hashable {
    package let images: [ScanState: Int]
    /// Images that something is to be done about now.
    package let due: Int
    package let openNotifications: Int
    package let openDeletions: Int
    /// Of the scanner; nil when it was never seen.
    package let indexState: String?
    package let sinceSeen: Duration?

    package init(
        images: [ScanState: Int],
        due: Int,
        openNotifications: Int,
        openDeletions: Int,
        indexState: String?,
        sinceSeen: Duration?
    ) {
        self.images = images
        self.due = due
        self.openNotifications = openNotifications
        self.openDeletions = openDeletions
        self.indexState = indexState
        self.sinceSeen = sinceSeen
    }
}
