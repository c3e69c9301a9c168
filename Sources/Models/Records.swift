// SPDX-License-Identifier: Apache-2.0

package import OCI

/// A manifest as a repository serves it: the upstream's bytes and media type, unchanged.
package struct ManifestRecord: Sendable, Hashable {
    package let id: ManifestID
    package let repository: RepositoryID
    package let digest: Digest
    package let mediaType: MediaType
    package let bytes: [UInt8]

    package init(
        id: ManifestID,
        repository: RepositoryID,
        digest: Digest,
        mediaType: MediaType,
        bytes: [UInt8]
    ) {
        self.id = id
        self.repository = repository
        self.digest = digest
        self.mediaType = mediaType
        self.bytes = bytes
    }
}

/// That somebody pulled a manifest.
package struct PullTouch: Sendable, Hashable {
    package let repository: RepositoryID
    package let manifest: ManifestID
    /// The tag that was asked for; nil for a pull by digest.
    package let tag: TagName?
    /// Whether it gives tags a new lease of life. A pull that upstream's failure made stale doesn't.
    package let isRenewing: Bool

    package init(repository: RepositoryID, manifest: ManifestID, tag: TagName?, isRenewing: Bool) {
        self.repository = repository
        self.manifest = manifest
        self.tag = tag
        self.isRenewing = isRenewing
    }
}

/// A live tag and how long ago, by the database's clock, upstream last confirmed it.
package struct TagRecord: Sendable, Hashable {
    package let id: TagID
    package let digest: Digest
    package let sinceCheck: Duration
    /// Of a tag whose content is attached to a manifest (``SignatureTag``): since upstream last confirmed a tag of that
    /// manifest.
    package let sinceSubjectCheck: Duration?

    package init(id: TagID, digest: Digest, sinceCheck: Duration, sinceSubjectCheck: Duration? = nil) {
        self.id = id
        self.digest = digest
        self.sinceCheck = sinceCheck
        self.sinceSubjectCheck = sinceSubjectCheck
    }
}

/// Proof that a blob's bytes are stored: which copy, and how many bytes it has.
package struct BlobPlacement: Sendable, Hashable {
    package let digest: Digest
    package let generation: Generation
    package let sizeBytes: Int64

    package init(digest: Digest, generation: Generation, sizeBytes: Int64) {
        self.digest = digest
        self.generation = generation
        self.sizeBytes = sizeBytes
    }
}

/// What is known of a blob's bytes: stored, arriving, both (a refetch) or neither.
package struct BlobState: Sendable, Hashable {
    package let placement: BlobPlacement?
    /// The partial that a fetcher is filling.
    package let partial: PartialRecord?

    package init(placement: BlobPlacement?, partial: PartialRecord?) {
        self.placement = placement
        self.partial = partial
    }
}

/// A blob that is arriving.
package struct PartialRecord: Sendable, Hashable {
    package let generation: Generation
    /// Upstream's strong entity tag, for `If-Range` (RFC 9110 section 13.1.5).
    package let validator: String?

    package init(generation: Generation, validator: String?) {
        self.generation = generation
        self.validator = validator
    }
}

/// A blob as a manifest of some repository declares it.
package struct DeclaredBlob: Sendable, Hashable {
    package let digest: Digest
    package let sizeBytes: Int64
    package let placement: BlobPlacement?

    package init(digest: Digest, sizeBytes: Int64, placement: BlobPlacement?) {
        self.digest = digest
        self.sizeBytes = sizeBytes
        self.placement = placement
    }
}

/// How far a partial has come.
package struct PartialNote: Sendable, Hashable {
    package let digest: Digest
    package let generation: Generation
    package let storedBytes: Int64
    package let bytesPerSecond: Int64

    package init(digest: Digest, generation: Generation, storedBytes: Int64, bytesPerSecond: Int64) {
        self.digest = digest
        self.generation = generation
        self.storedBytes = storedBytes
        self.bytesPerSecond = bytesPerSecond
    }
}

/// How far a blob has come, as those see it who don't see the storage: up to a second late.
package struct BlobArrival: Sendable, Hashable {
    package let isPresent: Bool
    /// Bytes that are here; all of them when it is present.
    package let storedBytes: Int64
    /// Zero when nothing is known.
    package let bytesPerSecond: Int64

    package init(isPresent: Bool, storedBytes: Int64, bytesPerSecond: Int64) {
        self.isPresent = isPresent
        self.storedBytes = storedBytes
        self.bytesPerSecond = bytesPerSecond
    }
}

/// A blob that a fetcher is receiving.
package struct ArrivingBlob: Sendable, Hashable {
    package let digest: Digest
    package let organization: OrganizationName
    /// The repository that it was first asked for through.
    package let repository: RepositoryName
    package let sizeBytes: Int64
    package let arrival: BlobArrival
    /// Since a fetcher took it up.
    package let age: Duration

    package init(
        digest: Digest,
        organization: OrganizationName,
        repository: RepositoryName,
        sizeBytes: Int64,
        arrival: BlobArrival,
        age: Duration
    ) {
        self.digest = digest
        self.organization = organization
        self.repository = repository
        self.sizeBytes = sizeBytes
        self.arrival = arrival
        self.age = age
    }
}
