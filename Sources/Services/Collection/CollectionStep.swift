// SPDX-License-Identifier: Apache-2.0

import Logging
import Metrics

/// What one step of a collection does, batch by batch, told to the log and the metrics.
struct CollectionStep {
    private let name: String
    private let logger: Logger
    private let items: Counter
    private var done = 0

    init(_ name: String, logger: Logger) {
        self.name = name
        self.logger = logger
        items = Counter(label: "entrepot_collected_items_total", dimensions: [("step", name)])
    }

    /// - Parameter body: does the batch, and returns how many items it took
    mutating func batch(_ body: () async throws -> Int) async throws -> (count: Int, duration: Duration) {
        try Task.checkCancellation()
        let start = ContinuousClock.now
        let count = try await body()
        let duration = ContinuousClock.now - start
        logger.trace(
            "batch",
            metadata: ["step": "\(name)", "count": "\(count)", "us": "\(duration / .microseconds(1))"]
        )
        items.increment(by: count)
        done += count
        return (count, duration)
    }

    /// - Returns: how many items it took in all
    func end() -> Int {
        if done > 0 { logger.info("collected", metadata: ["step": "\(name)", "count": "\(done)"]) }
        return done
    }
}
