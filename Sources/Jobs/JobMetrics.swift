// SPDX-License-Identifier: Apache-2.0

import Metrics
import Models

/// What is measured of jobs.
struct JobMetrics: Sendable {
    private let rescues = Counter(label: "entrepot_lease_rescues_total")
    private let losses = Counter(label: "entrepot_leases_lost_total")

    func rescued(_ count: Int) { rescues.increment(by: count) }

    func lostLeases(_ count: Int) { losses.increment(by: count) }

    func ended(_ kind: JobKind, _ outcome: JobOutcome, after duration: Duration) {
        let text =
            switch outcome {
            case .finished, .complete: "completed"
            case .retry: "retried"
            case .discard: "discarded"
            }
        Counter(label: "entrepot_jobs_total", dimensions: [("kind", kind.rawValue), ("outcome", text)]).increment()
        Timer(label: "entrepot_job_seconds", dimensions: [("kind", kind.rawValue)]).record(duration: duration)
    }
}
