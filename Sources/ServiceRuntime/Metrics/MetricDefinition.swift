// SPDX-License-Identifier: Apache-2.0

/// A metric as it is told to Prometheus. Units are base units: bytes, seconds.
struct MetricDefinition: Sendable {
    enum Kind: Sendable {
        case counter
        case gauge
        /// Upper bounds of its buckets, rising; one for what is beyond them is added.
        case histogram([Double])

        var name: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    let name: String
    let kind: Kind
    let help: String

    init(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }
}

extension MetricDefinition {
    /// From the time of a warm pull to that of a patient client.
    private static let seconds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]
    private static let counts: [Double] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000]

    /// Every metric of every program. What isn't here isn't told.
    static let all: [MetricDefinition] = [
        // Frontends.
        .init("entrepot_pulls_total", .counter, "Pulls by kind and outcome; error includes what isn't there."),
        .init("entrepot_served_bytes_total", .counter, "Bytes of manifests and blobs sent to clients, by kind."),
        .init(
            "entrepot_saved_bytes_total",
            .counter,
            "Bytes sent to clients that upstreams were not asked for, by kind."
        ),
        .init("entrepot_responses_total", .counter, "Responses of the registry by class of status."),
        .init(
            "entrepot_first_byte_seconds",
            .histogram(seconds),
            "From a pull's request to its response's head, by kind."
        ),
        .init("entrepot_fetch_wait_seconds", .histogram(seconds), "How long pulls waited for fetchers, by kind."),
        .init("entrepot_log_batch_entries", .histogram(counts), "Entries of the log written by one statement."),
        .init("entrepot_log_wait_seconds", .histogram(seconds), "From an entry of the log to its commit."),
        .init("entrepot_log_failed_entries_total", .counter, "Entries of the log whose writing failed."),
        .init("entrepot_tls_certificate_expiry_timestamp_seconds", .gauge, "End of the certificate's validity."),
        .init("entrepot_tls_reload_failures_total", .counter, "Changed certificates or keys that couldn't be used."),
        // Fetchers.
        .init(
            "entrepot_upstream_requests_total",
            .counter,
            "Requests to upstreams by host and status; failed had none."
        ),
        .init("entrepot_upstream_bytes_total", .counter, "Bytes of manifests, lists and blobs received, by host."),
        // Whoever takes jobs.
        .init("entrepot_jobs_total", .counter, "Attempts at jobs by kind and outcome."),
        .init("entrepot_job_seconds", .histogram(seconds), "How long attempts at jobs took, by kind."),
        .init("entrepot_lease_rescues_total", .counter, "Jobs taken from workers that fell silent."),
        .init("entrepot_leases_lost_total", .counter, "Running jobs that were given to another worker."),
        // Collectors.
        .init("entrepot_collected_items_total", .counter, "What was collected, by step."),
        .init("entrepot_collected_bytes_total", .counter, "Bytes of stored blobs that were freed."),
        // Whoever has the storage.
        .init("entrepot_storage_free_bytes", .gauge, "Room that the storage's device has for this process."),
        .init("entrepot_storage_size_bytes", .gauge, "All of its room."),
        // Whoever traces.
        .init("entrepot_spans_exported_total", .counter, "Spans that the collector has taken."),
        .init("entrepot_spans_dropped_total", .counter, "Spans that were lost, by reason: full, refused."),
        // Read from the database by every service, the same everywhere.
        .init("entrepot_database_up", .gauge, "Whether the database answered the last reading of what follows."),
        .init("entrepot_queue_jobs", .gauge, "Jobs by queue and state; dead ones are those of the last day."),
        .init("entrepot_queue_oldest_due_seconds", .gauge, "Age of the oldest job that could have been taken up."),
        .init("entrepot_upstream_breaker_open", .gauge, "Whether an upstream is left alone for a while."),
        .init("entrepot_upstream_rate_limit_remaining", .gauge, "Requests left, as the upstream said last."),
        .init("entrepot_organization_usage_bytes", .gauge, "Bytes of an organization's live images, each once."),
        .init("entrepot_organization_limit_bytes", .gauge, "Quota of an organization that has one."),
        .init("entrepot_garbage_bytes", .gauge, "Bytes of stored blobs that wait for their removal."),
        .init("entrepot_garbage_lag_seconds", .gauge, "Age of the oldest of these."),
        // Every service.
        .init("postgres_pool_connections_in_use", .gauge, "Connections to the database that are working."),
        .init("postgres_pool_wait_seconds", .histogram(seconds), "Waits for a connection when all were busy."),
        .init("postgres_pool_timeouts_total", .counter, "Waits for a connection that were in vain."),
        .init("process_cpu_seconds_total", .counter, "Processor time, user and system."),
        .init("process_resident_memory_bytes", .gauge, "Resident memory."),
        .init("process_open_fds", .gauge, "Open file descriptors."),
        .init("process_max_fds", .gauge, "How many file descriptors may be open."),
        .init("process_start_time_seconds", .gauge, "Start of the process, in seconds since 1970."),
    ]
}
