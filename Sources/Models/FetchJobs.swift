// SPDX-License-Identifier: Apache-2.0

package import OCI

/// Payload of a job: what it is called, where it queues, and what makes two of them the same.
package protocol JobPayload: Codable, Sendable {
    static var kind: JobKind { get }
    static var queue: JobQueueName { get }
    /// Live jobs of one kind with the same key are one job.
    var uniqueKey: String { get }
    /// Whose work this is, for fairness between organizations.
    var organization: OrganizationID { get }
    /// Base URL of the upstream that it will ask, for the limits of that upstream.
    var upstream: String { get }
}

/// A job whose asker waits for what it finds.
package protocol FetchPayload: JobPayload, Hashable {
    /// What the verdict says when it went well.
    associatedtype Success: Codable & Sendable & Hashable
}

package enum JobKind: String, Sendable, Hashable, Codable {
    case manifestFetch = "manifest_fetch"
    case listFetch = "list_fetch"
    case blobFetch = "blob_fetch"
    case upstreamCheck = "upstream_check"
    /// Of the scan dispatcher; the payload of each is its unique key.
    case imageScan = "image_scan"
    case scanDeletion = "scan_deletion"
    case scanNotification = "scan_notification"
    case vulnerabilityNotice = "vulnerability_notice"
    case prune
    case recompute = "recompute_usage"
    case thresholdNotice = "threshold_notice"
}

package enum JobQueueName: String, Sendable, Hashable, Codable, CaseIterable {
    /// Manifests, tag checks and lists: short, a client waits.
    case manifests
    /// Blobs that a client waits for: as long as the upstream takes.
    case blobs
    /// Whatever no client waits for, of both kinds. It has slots of its own, so that clients never wait behind it.
    case fills
    /// Images for the scanner.
    case scans
    /// What pruners do.
    case quota
}

/// Places in a queue; smaller is sooner.
package enum JobPriority {
    /// A client waits.
    package static let client = 1
    /// An operator waits who fetches ahead.
    package static let ahead = 3
    /// Nobody waits: what fails may be tried again much later.
    package static let fill = 7
}

/// "What is behind this reference, upstream?": checks a tag, or fetches a manifest that is absent.
package struct ManifestFetch: FetchPayload {
    package typealias Success = ManifestFetched

    package static let kind = JobKind.manifestFetch
    package static let queue = JobQueueName.manifests

    package let organization: OrganizationID
    package let upstream: String
    /// Generation of the organization's configuration: an answer under another one isn't an answer to this.
    package let generation: Int64
    /// Canonical name inside the organization.
    package let repository: RepositoryName
    package let reference: Reference

    package init(
        organization: OrganizationID,
        config: ProxyCacheConfig,
        repository: RepositoryName,
        reference: Reference
    ) {
        self.organization = organization
        self.upstream = config.upstream.baseURL
        self.generation = config.generation
        self.repository = repository
        self.reference = reference
    }

    package var uniqueKey: String {
        switch reference {
        case .tag(let tag): "\(organization).\(generation)/\(repository):\(tag)"
        case .digest(let digest): "\(organization).\(generation)/\(repository)@\(digest)"
        }
    }
}

/// What a manifest fetch found. The rows were written before this was.
package struct ManifestFetched: Hashable, Sendable, Codable {
    package let digest: Digest
    /// Bytes came from upstream, or a cached manifest became this tag's; false when upstream confirmed what was cached.
    package let isNew: Bool

    package init(digest: Digest, isNew: Bool) {
        self.digest = digest
        self.isNew = isNew
    }
}

/// "Bring these bytes here." One job per digest for the whole deployment, whichever organization asked first.
package struct BlobFetch: JobPayload, Hashable {
    package static let kind = JobKind.blobFetch
    package static let queue = JobQueueName.blobs

    package let organization: OrganizationID
    package let upstream: String
    /// Canonical name inside the organization.
    package let repository: RepositoryName
    package let digest: Digest
    /// Size that the manifest declares; no byte more is taken from upstream.
    package let sizeBytes: Int64

    package init(
        organization: OrganizationID,
        upstream: String,
        repository: RepositoryName,
        digest: Digest,
        sizeBytes: Int64
    ) {
        self.organization = organization
        self.upstream = upstream
        self.repository = repository
        self.digest = digest
        self.sizeBytes = sizeBytes
    }

    package var uniqueKey: String { digest.description }
}

/// How a job of any kind ended, as its row tells it: exactly one of the two is there.
package struct FetchVerdict<Success: Codable & Sendable & Hashable>: Codable, Sendable, Hashable {
    package let success: Success?
    package let failure: FetchFailure?

    package init(success: Success) {
        self.success = success
        self.failure = nil
    }

    package init(failure: FetchFailure) {
        self.success = nil
        self.failure = failure
    }
}
