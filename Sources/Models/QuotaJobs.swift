// SPDX-License-Identifier: Apache-2.0

/// That usage reached a threshold.
package struct ThresholdCrossing: Hashable, Sendable, Codable {
    package let organization: OrganizationID
    package let organizationName: OrganizationName
    package let kind: QuotaThreshold.Kind
    package let percent: Int
    package let limitBytes: Int64
    package let liveBytes: Int64

    package init(
        organization: OrganizationID,
        organizationName: OrganizationName,
        kind: QuotaThreshold.Kind,
        percent: Int,
        limitBytes: Int64,
        liveBytes: Int64
    ) {
        self.organization = organization
        self.organizationName = organizationName
        self.kind = kind
        self.percent = percent
        self.limitBytes = limitBytes
        self.liveBytes = liveBytes
    }
}

/// "Bring this organization's usage back within its limit."
package struct PruneToLimit: JobPayload, Hashable {
    package static let kind = JobKind.prune
    package static let queue = JobQueueName.quota

    package let organization: OrganizationID

    package init(organization: OrganizationID) { self.organization = organization }

    package var uniqueKey: String { organization.description }
    package var upstream: String { "" }
}

/// "Prove what was counted of this organization, and repair it."
package struct RecomputeUsage: JobPayload, Hashable {
    package static let kind = JobKind.recompute
    package static let queue = JobQueueName.quota

    package let organization: OrganizationID

    package init(organization: OrganizationID) { self.organization = organization }

    package var uniqueKey: String { organization.description }
    package var upstream: String { "" }
}

/// "Tell the webhook."
package struct ThresholdNotice: JobPayload, Hashable {
    package static let kind = JobKind.thresholdNotice
    package static let queue = JobQueueName.quota

    package let crossing: ThresholdCrossing
    /// Unique for each crossing; the receiver can tell by it what it had already.
    package let id: String

    package init(_ crossing: ThresholdCrossing, id: String) {
        self.crossing = crossing
        self.id = id
    }

    package var organization: OrganizationID { crossing.organization }
    package var uniqueKey: String { id }
    package var upstream: String { "" }
}
