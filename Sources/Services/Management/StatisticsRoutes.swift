// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Jobs
import Metadata
import Models
import OCI
import Postgres

/// What the cache does: for one organization, and as a whole.
struct StatisticsRoutes: Sendable {
    let client: PostgresClient
    private let traffic = TrafficStore()
    private let activity = ActivityStore()
    private let upstreams = UpstreamStore()

    private let timeMachine: Duration

    /// - Parameter timeMachine: of organizations that say nothing of it
    init(client: PostgresClient, timeMachine: Duration) {
        self.client = client
        self.timeMachine = timeMachine
    }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "organization/{orgname}/statistics",
                "getStatistics",
                "Pulls, bytes that were saved, and how the upstream is doing.",
                .organization(.member),
                query: [Schema.may("days", .integer(1...3_660), "Up to today; 30 unless it is given.")],
                .ok([
                    Schema.has("total", .object(Self.numbers)),
                    Schema.has(
                        "days",
                        .list(.object([Schema.has("date", .text())] + Self.numbers), maximum: 3_660)
                    ),
                    Schema.has("upstream", .nullable(.object(Self.upstream))),
                ]),
                statistics
            ),
            Operation(
                .get,
                "organization/{orgname}/fetches",
                "listFetches",
                "Blobs that are arriving.",
                .organization(.member),
                .ok([Schema.has("fetches", .list(.object(Self.fetch)))])
            ) { call in
                let arriving = try await activity.arriving(in: call.organization.id, on: client)
                return try APIReply.json(["fetches": arriving.map(Fetch.init)])
            },
            Operation(
                .get,
                "superuser/status",
                "getStatus",
                "Upstreams, queues, what is arriving, and what organizations have.",
                .superuser,
                .ok([
                    Schema.has("upstreams", .list(.object(Self.upstream), maximum: 100_000)),
                    Schema.has("queues", .list(.object(Self.queue))),
                    Schema.has("arriving", .list(.object(Self.fetch))),
                    Schema.has("organizations", .list(.object(Self.organization), maximum: 1_000_000)),
                ]),
                status
            ),
            Operation(
                .get,
                "superuser/gc",
                "getCollection",
                "What the garbage collector would take now, and what it has taken.",
                .superuser,
                .ok([
                    Schema.has("pending", .list(.object(Self.count))),
                    Schema.has("collected", .list(.object(Self.count))),
                ]),
                collection
            ),
            Operation(
                .get,
                "superuser/scan",
                "getScanOverview",
                "How far images are scanned.",
                .superuser,
                .ok([
                    Schema.has("images", .map(.natural), "By state."), Schema.has("due", .natural),
                    Schema.has("open_notifications", .natural), Schema.has("open_deletions", .natural),
                    Schema.has("index_state", .nullable(.anyText), "Of the scanner."),
                    Schema.has("seen_s_ago", .nullable(.natural)),
                ]),
                scans
            ),
        ]
    }

    private static let count = [
        Schema.has("kind", .text()), Schema.has("items", .natural), Schema.has("bytes", .natural),
    ]

    private struct Count: Encodable {
        let kind: String
        let items: Int64
        let bytes: Int64

        init(_ count: CollectionCount) {
            kind = count.kind.rawValue
            items = count.items
            bytes = count.bytes
        }
    }

    private struct Collection: Encodable {
        let pending: [Count]
        let collected: [Count]
    }

    private struct Scans: Encodable {
        let images: [String: Int]
        let due: Int
        let open_notifications: Int
        let open_deletions: Int
        @Nullable var index_state: String?
        @Nullable var seen_s_ago: Int64?
    }

    // MARK: - Views

    private static let numbers = [
        Schema.has("hits", .natural, "Served from the cache without asking upstream."),
        Schema.has("revalidated", .natural, "Served from the cache, which upstream confirmed."),
        Schema.has("misses", .natural), Schema.has("stale", .natural, "Served although upstream failed."),
        Schema.has("errors", .natural), Schema.has("blob_pulls", .natural), Schema.has("served_bytes", .natural),
        Schema.has("upstream_requests", .natural), Schema.has("upstream_bytes", .natural),
        Schema.has("bytes_saved", .natural),
    ]

    private struct Numbers: Encodable {
        var date: String?
        let hits: Int64
        let revalidated: Int64
        let misses: Int64
        let stale: Int64
        let errors: Int64
        let blob_pulls: Int64
        let served_bytes: Int64
        let upstream_requests: Int64
        let upstream_bytes: Int64
        let bytes_saved: Int64

        init(_ traffic: Traffic, date: String? = nil) {
            self.date = date
            hits = traffic.hits
            revalidated = traffic.revalidated
            misses = traffic.misses
            stale = traffic.stale
            errors = traffic.errors
            blob_pulls = traffic.blobPulls
            served_bytes = traffic.servedBytes
            upstream_requests = traffic.upstreamRequests
            upstream_bytes = traffic.upstreamBytes
            bytes_saved = traffic.savedBytes
        }
    }

    private static let upstream = [
        Schema.has("url", .text(0...1_024)), Schema.has("breaker", .choice(["closed", "open"])),
        Schema.has("open_for_s", .natural), Schema.has("failures_in_a_row", .natural),
        Schema.has("last_failure", .nullable(.anyText)),
        Schema.has("rate_limit", .nullable(.integer(Int64.min...Int64.max))),
        Schema.has("rate_limit_remaining", .nullable(.integer(Int64.min...Int64.max))),
        Schema.has("maximum_connections", .nullable(.natural)), Schema.has("requests_per_s", .nullable(.number)),
    ]

    private struct Upstream: Encodable {
        let url: String
        let breaker: String
        let open_for_s: Int64
        let failures_in_a_row: Int
        @Nullable var last_failure: String?
        @Nullable var rate_limit: Int?
        @Nullable var rate_limit_remaining: Int?
        @Nullable var maximum_connections: Int?
        @Nullable var requests_per_s: Double?

        init(_ condition: UpstreamCondition) {
            url = condition.baseURL
            breaker = condition.health.isOpen ? "open" : "closed"
            open_for_s = condition.health.isOpen ? condition.health.opensIn.components.seconds : 0
            failures_in_a_row = condition.health.failures
            last_failure = condition.health.lastFailure?.message
            rate_limit = condition.rateLimit?.limit
            rate_limit_remaining = condition.rateLimit?.remaining
            maximum_connections = condition.maximumConnections
            requests_per_s = condition.requestsPerSecond
        }
    }

    private static let fetch = [
        Schema.has("digest", .text()), Schema.has("organization", .text()), Schema.has("repository", .text()),
        Schema.has("bytes", .natural), Schema.has("size", .natural), Schema.has("bytes_per_s", .natural),
        Schema.has("age_s", .natural),
    ]

    private struct Fetch: Encodable {
        let digest: String
        let organization: String
        let repository: String
        let bytes: Int64
        let size: Int64
        let bytes_per_s: Int64
        let age_s: Int64

        init(_ blob: ArrivingBlob) {
            digest = blob.digest.description
            organization = blob.organization.rawValue
            repository = blob.repository.rawValue
            bytes = blob.arrival.storedBytes
            size = blob.sizeBytes
            bytes_per_s = blob.arrival.bytesPerSecond
            age_s = blob.age.components.seconds
        }
    }

    private static let queue = [
        Schema.has("name", .text()), Schema.has("available", .natural), Schema.has("running", .natural),
        Schema.has("retryable", .natural), Schema.has("discarded", .natural),
        Schema.has("oldest_due_s", .nullable(.natural)),
    ]

    private struct Queue: Encodable {
        let name: String
        let available: Int
        let running: Int
        let retryable: Int
        let discarded: Int
        @Nullable var oldest_due_s: Int64?
    }

    private static let organization = [
        Schema.has("name", .text()), Schema.has("tags", .natural), Schema.has("complete_images", .natural),
        Schema.has("incomplete_images", .natural),
    ]

    private struct Organization: Encodable {
        let name: String
        let tags: Int
        let complete_images: Int
        let incomplete_images: Int
    }

    private struct Statistics: Encodable {
        let total: Numbers
        let days: [Numbers]
        @Nullable var upstream: Upstream?
    }

    private struct Status: Encodable {
        let upstreams: [Upstream]
        let queues: [Queue]
        let arriving: [Fetch]
        let organizations: [Organization]
    }

    // MARK: - Operations

    private func statistics(_ call: Call) async throws -> Response {
        let organization = try call.organization
        let days = try await traffic.days(
            Int(call.query.integer("days") ?? 30),
            of: organization.id,
            on: client
        )
        let total = days.reduce(into: Traffic()) { $0 += $1.traffic }
        var condition: UpstreamCondition?
        if let upstream = organization.proxyCache?.upstream {
            condition = try await upstreams.condition(of: upstream.baseURL, on: client)
        }
        return try APIReply.json(
            Statistics(
                total: Numbers(total),
                days: days.map { Numbers($0.traffic, date: $0.date) },
                upstream: condition.map(Upstream.init)
            )
        )
    }

    private func collection(_ call: Call) async throws -> Response {
        let store = CollectionStore()
        var limits = CollectionStore.Limits()
        limits.timeMachine = timeMachine
        return try APIReply.json(
            Collection(
                pending: try await store.pending(limits, on: client).map(Count.init),
                collected: try await store.totals(on: client).map(Count.init)
            )
        )
    }

    private func scans(_ call: Call) async throws -> Response {
        let overview = try await ScanReportStore().overview(on: client)
        return try APIReply.json(
            Scans(
                images: Dictionary(
                    uniqueKeysWithValues: overview.images.map { ($0.key.rawValue, $0.value) }
                ),
                due: overview.due,
                open_notifications: overview.openNotifications,
                open_deletions: overview.openDeletions,
                index_state: overview.indexState,
                seen_s_ago: overview.sinceSeen?.components.seconds
            )
        )
    }

    private func status(_ call: Call) async throws -> Response {
        try APIReply.json(
            Status(
                upstreams: try await upstreams.conditions(on: client).map(Upstream.init),
                queues: try await JobQueue().summaries(on: client).map { queue in
                    Queue(
                        name: queue.queue.rawValue,
                        available: queue.available,
                        running: queue.running,
                        retryable: queue.retryable,
                        discarded: queue.discarded,
                        oldest_due_s: queue.oldestDue?.components.seconds
                    )
                },
                arriving: try await activity.arriving(on: client).map(Fetch.init),
                organizations: try await ImageStateStore().summaries(on: client).map { summary in
                    Organization(
                        name: summary.name.rawValue,
                        tags: summary.tags,
                        complete_images: summary.completeImages,
                        incomplete_images: summary.incompleteImages
                    )
                }
            )
        )
    }
}
