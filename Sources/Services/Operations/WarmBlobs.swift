// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
import Models

/// The blobs of one image: asks for those that aren't here, and follows until each is here or has failed.
struct WarmBlobs {
    private struct Follow {
        var item: WarmItem
        let fetch: BlobFetch
        /// The job that will bring it, once one was asked for.
        var job: JobID?
        var wasAsked = false
    }

    private let warmer: ImageWarmer
    private let blobs = BlobStore()
    private let queue = JobQueue()
    private var follows: [Follow]

    init(warmer: ImageWarmer, blobs: [(item: WarmItem, fetch: BlobFetch)]) {
        self.warmer = warmer
        follows = blobs.map { Follow(item: $0.item, fetch: $0.fetch) }
    }

    /// - Returns: the items in their order, all of them final
    consuming func run() async throws -> [WarmItem] {
        for follow in follows { warmer.report(.item(follow.item)) }
        let clock = ContinuousClock()
        var lastChange = clock.now
        while true {
            if try await look() { lastChange = clock.now }
            guard follows.contains(where: { !$0.item.state.isFinal }) else { return follows.map(\.item) }
            if clock.now - lastChange > warmer.configuration.stallDeadline { giveUp() } else { try await ask() }
            try await Task.sleep(for: warmer.configuration.pollInterval)
        }
    }

    /// Reads how far everything is. Returns whether anything has changed.
    private mutating func look() async throws -> Bool {
        let pending = follows.indices.filter { !follows[$0].item.state.isFinal }
        let arrivals = try await blobs.arrivals(of: pending.map { follows[$0].fetch.digest }, on: warmer.client)
        let statuses = try await queue.statuses(of: pending.compactMap { follows[$0].job }, on: warmer.client)
        let byJob = Dictionary(uniqueKeysWithValues: Set(statuses).map { ($0.id, $0) })
        var hasChanged = false
        for index in pending {
            let before = follows[index].item
            if let arrival = arrivals[before.digest] { take(arrival, at: index) }
            if let job = follows[index].job { try take(byJob[job], at: index) }
            guard follows[index].item != before else { continue }
            hasChanged = true
            warmer.report(.item(follows[index].item))
        }
        return hasChanged
    }

    private mutating func take(_ arrival: BlobArrival, at index: Int) {
        follows[index].item.storedBytes = arrival.storedBytes
        follows[index].item.bytesPerSecond = arrival.bytesPerSecond
        if arrival.isPresent {
            follows[index].item.state = follows[index].wasAsked ? .fetched : .present
        } else if arrival.storedBytes > 0 {
            follows[index].item.state = .arriving
        }
    }

    private mutating func take(_ status: JobStatus?, at index: Int) throws {
        guard !follows[index].item.state.isFinal else { return }
        guard let status, status.state != .completed else {
            // Done, and cleaned away perhaps: the next look finds the blob, or asks anew.
            follows[index].job = nil
            return
        }
        guard status.state == .discarded else { return }
        follows[index].job = nil
        // Another organization's job for this digest failed with their upstream, which says nothing of ours.
        guard try JSONText.decode(BlobFetch.self, status.payload) == follows[index].fetch else { return }
        let verdict = try status.result.map { try JSONText.decode(FetchVerdict<String>.self, $0) }
        follows[index].item.state = .failed(verdict?.failure?.message ?? "job \(status.id) ended without a verdict")
    }

    /// Asks for what no job is known to bring.
    private mutating func ask() async throws {
        var isNew = false
        for index in follows.indices where !follows[index].item.state.isFinal && follows[index].job == nil {
            follows[index].job = try await queue.enqueue(
                follows[index].fetch,
                queue: .fills,
                priority: JobPriority.ahead,
                on: warmer.client
            )
            follows[index].wasAsked = true
            isNew = true
        }
        if isNew { await warmer.notifier.jobsAvailable(.fills) }
    }

    private mutating func giveUp() {
        let patience = Amount.duration(warmer.configuration.stallDeadline)
        for index in follows.indices where !follows[index].item.state.isFinal {
            follows[index].item.state = .failed("nothing came for \(patience): does a fetcher run?")
            warmer.report(.item(follows[index].item))
        }
    }
}
