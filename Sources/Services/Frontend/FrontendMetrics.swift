// SPDX-License-Identifier: Apache-2.0

import Metrics
import Models

/// What clients ask for that is counted as a pull.
enum PullKind: String, Sendable, CaseIterable {
    case manifest, blob
}

/// What is measured of requests. Handles are looked up once: a pull costs a few additions.
struct FrontendMetrics: Sendable {
    private struct Handles: Sendable {
        let outcomes: [PullOutcome: Counter]
        let served: Counter
        let saved: Counter
        let firstByte: Timer

        init(_ kind: PullKind) {
            let label = [("kind", kind.rawValue)]
            outcomes = Dictionary(
                uniqueKeysWithValues: PullOutcome.allCases.map {
                    ($0, Counter(label: "entrepot_pulls_total", dimensions: label + [("outcome", $0.rawValue)]))
                }
            )
            served = Counter(label: "entrepot_served_bytes_total", dimensions: label)
            saved = Counter(label: "entrepot_saved_bytes_total", dimensions: label)
            firstByte = Timer(label: "entrepot_first_byte_seconds", dimensions: label)
        }
    }

    private let manifest = Handles(.manifest)
    private let blob = Handles(.blob)
    /// By the first digit of the status.
    private let responses = (0...5).map {
        Counter(label: "entrepot_responses_total", dimensions: [("status", "\($0)xx")])
    }

    func answered(status: Int) { responses[max(0, min(5, status / 100))].increment() }

    /// - Parameters:
    ///   - bytes: of the content that the client has got
    ///   - wait: from the request to the head of the response
    func pulled(_ kind: PullKind, _ outcome: PullOutcome, bytes: Int64, after wait: Duration) {
        let handles = kind == .manifest ? manifest : blob
        handles.outcomes[outcome]?.increment()
        handles.firstByte.record(duration: wait)
        guard outcome != .error, bytes > 0 else { return }
        handles.served.increment(by: bytes)
        if outcome != .miss { handles.saved.increment(by: bytes) }
    }
}
