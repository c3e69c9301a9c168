// SPDX-License-Identifier: Apache-2.0

/// How much of the cache an organization or a repository uses: every blob and every manifest once, children of indexes
/// and config blobs included.
package struct Usage: Sendable, Hashable {
    /// Alive and here: named by a live tag, listed by a living index, or pulled by digest a short time ago.
    package let usedBytes: Int64
    /// Alive and not here yet.
    package let reservedBytes: Int64
    /// Here and not alive any more: the time machine or the collector has it.
    package let reclaimableBytes: Int64

    package init(usedBytes: Int64 = 0, reservedBytes: Int64 = 0, reclaimableBytes: Int64 = 0) {
        self.usedBytes = usedBytes
        self.reservedBytes = reservedBytes
        self.reclaimableBytes = reclaimableBytes
    }

    /// What a limit is compared with.
    package var liveBytes: Int64 { Self.sum(usedBytes, reservedBytes) }
    /// What is stored for it. Blobs that others have as well are counted here, too.
    package var physicalBytes: Int64 { Self.sum(usedBytes, reclaimableBytes) }

    /// What upstreams declare may be made up: their sum is no reason to crash.
    private static func sum(_ one: Int64, _ other: Int64) -> Int64 {
        let (sum, isOverflow) = one.addingReportingOverflow(other)
        return isOverflow ? .max : sum
    }
}

/// What a recompute found wrong in the counts of one organization, and put right.
package struct UsageDrift: Sendable, Hashable {
    package let before: Usage
    package let after: Usage
    /// Memberships that were taken for alive, or for not, wrongly.
    package let memberships: Int
    /// Rows of content that were missing, superfluous or wrong.
    package let contents: Int
    /// Sums, of the organization and its repositories, that were wrong.
    package let sums: Int

    package init(before: Usage, after: Usage, memberships: Int, contents: Int, sums: Int) {
        self.before = before
        self.after = after
        self.memberships = memberships
        self.contents = contents
        self.sums = sums
    }
}

/// What the collector has done, or would do now, of one kind.
package struct CollectionCount: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// Ended lifetimes that the time machine has let go.
        case tags
        /// Manifests that repositories no longer have.
        case memberships
        /// Manifests that no repository has.
        case manifests
        /// Blobs that no manifest names, condemned.
        case condemned
        /// Condemned blobs whose grace is over.
        case blobs
        /// Stored objects that were removed.
        case objects
        /// Repositories that became empty.
        case repositories
        /// Stored objects that no row spoke of.
        case orphans
        /// Rows whose object was missing.
        case lost
        /// Objects that were read and found right.
        case scrubbed
        /// Objects that were read and found wrong.
        case damaged
    }

    package let kind: Kind
    package let items: Int64
    package let bytes: Int64

    package init(_ kind: Kind, items: Int64, bytes: Int64 = 0) {
        self.kind = kind
        self.items = items
        self.bytes = bytes
    }
}
