// SPDX-License-Identifier: Apache-2.0

package import Blobs
package import Logging
package import Metadata
import Metrics
import Models
package import Postgres

/// One collector's work. Any number may run at once; each step is safe to be ended anywhere, and to be done again.
package struct Collector: Sendable {
    /// What is read before files go by it; once it is read, it is waited for the disk.
    private static let objectsAtOnce = 10_000

    private let client: PostgresClient
    private let storage: any BlobInventory
    private let limits: CollectionStore.Limits
    private let logger: Logger
    private let store = CollectionStore()
    private let freed = Counter(label: "entrepot_collected_bytes_total")

    package init(client: PostgresClient, storage: any BlobInventory, limits: CollectionStore.Limits, logger: Logger) {
        self.client = client
        self.storage = storage
        self.limits = limits
        self.logger = logger
    }

    /// Goes through the steps in the order in which each frees work for the next, until none has any. What can't be done,
    /// because somebody has it locked or a file can't be removed, is left for the next run.
    package func collect() async throws {
        var stuck: Generation?
        while true {
            var done = 0
            let ranges = try await store.ranges(on: client)
            done += try await whole("tags", in: ranges) { try await store.forgetTags(in: $0, $1, on: client) }
            let owners = try await store.ownersOfMembers(limits, on: client)
            done += try await whole("memberships", in: owners) {
                try await store.dropMembers(of: $0, $1, on: client)
            }
            done += try await whole("manifests") { try await store.dropManifests($0, on: client) }
            done += try await whole("condemned") { try await store.condemnBlobs($0, on: client) }
            done += try await whole("blobs") { try await store.dropBlobs($0, on: client) }
            done += try await removeObjects(after: &stuck)
            done += try await whole("referrers") { try await store.dropReferrerLists($0, on: client) }
            done += try await whole("repositories", in: ranges) {
                try await store.dropRepositories(in: $0, $1, on: client)
            }
            guard done > 0 else { return }
        }
    }

    private func whole(_ step: String, _ body: (CollectionStore.Limits) async throws -> Int) async throws -> Int {
        try await whole(step, in: [()]) { try await body($1) }
    }

    /// Does batch after batch of a step in each of these places. One that somebody is busy with holds up none of the others.
    private func whole<Place>(
        _ name: String,
        in places: [Place],
        _ body: (Place, CollectionStore.Limits) async throws -> Int
    ) async throws -> Int {
        var step = CollectionStep(name, logger: logger)
        var pace = Pace(maximum: limits.batch)
        for place in places {
            while true {
                var limits = limits
                limits.batch = pace.size
                do {
                    let (count, duration) = try await step.batch { try await body(place, limits) }
                    guard count > 0 else { break }
                    pace.note(duration)
                } catch let error as PostgresError where error.sqlState == .lockNotAvailable {
                    logger.info("somebody is busy with it, it is left for later", metadata: ["step": "\(name)"])
                    break
                }
            }
        }
        return step.end()
    }

    /// The bytes first, then the row: a crash in between leaves a row whose bytes are removed once more.
    /// - Parameter stuck: the last one that can't be removed in this run: what comes before it was tried
    private func removeObjects(after stuck: inout Generation?) async throws -> Int {
        var step = CollectionStep("objects", logger: logger)
        var many = limits
        many.batch = Self.objectsAtOnce
        while true {
            var objects = try await store.garbage(many, after: stuck, on: client)[...]
            guard !objects.isEmpty else { return step.end() }
            try await store.makeDurable(on: client)
            var failures: [BlobStorageError] = []
            while !objects.isEmpty {
                let some = Array(objects.prefix(limits.batch))
                objects = objects.dropFirst(some.count)
                _ = try await step.batch {
                    let removal = try await storage.removeAll(some)
                    try await forget(removal.removed)
                    failures += removal.failures
                    stuck = removal.kept.last?.generation ?? stuck
                    return removal.removed.count
                }
            }
            logger.report(failures, as: "objects can't be removed")
        }
    }

    private func forget(_ objects: [BlobPlacement]) async throws {
        guard !objects.isEmpty else { return }
        try await store.forget(objects, on: client)
        freed.increment(by: objects.reduce(0) { $0 + $1.sizeBytes })
    }
}
