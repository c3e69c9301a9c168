// SPDX-License-Identifier: Apache-2.0

/// What was served in a while, and what was fetched for it.
package struct Traffic: Sendable, Hashable {
    /// Manifest pulls by outcome.
    package var hits: Int64 = 0
    package var revalidated: Int64 = 0
    package var misses: Int64 = 0
    package var stale: Int64 = 0
    package var errors: Int64 = 0
    package var blobPulls: Int64 = 0
    /// Bytes of manifests and blobs that clients got.
    package var servedBytes: Int64 = 0
    package var upstreamRequests: Int64 = 0
    /// Bytes of manifests and blobs that upstream sent.
    package var upstreamBytes: Int64 = 0

    package init() {}

    /// What needn't be fetched because it was cached.
    package var savedBytes: Int64 { max(0, servedBytes - upstreamBytes) }

    package mutating func count(_ outcome: PullOutcome) {
        switch outcome {
        case .hit: hits += 1
        case .revalidated: revalidated += 1
        case .miss: misses += 1
        case .stale: stale += 1
        case .error: errors += 1
        }
    }

    package func adding(_ other: Traffic) -> Traffic {
        var sum = self
        sum += other
        return sum
    }

    package static func += (left: inout Traffic, right: Traffic) {
        left.hits += right.hits
        left.revalidated += right.revalidated
        left.misses += right.misses
        left.stale += right.stale
        left.errors += right.errors
        left.blobPulls += right.blobPulls
        left.servedBytes += right.servedBytes
        left.upstreamRequests += right.upstreamRequests
        left.upstreamBytes += right.upstreamBytes
    }
}
