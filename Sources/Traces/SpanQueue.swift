// SPDX-License-Identifier: Apache-2.0

import Metrics
import Synchronization
import Waiting

/// Spans that have ended and wait to be sent. What comes when it is full is dropped and counted: traces are no reason for
/// a pull to wait, or for memory to grow.
package final class SpanQueue: Sendable {
    static let batch = 512
    private static let maximum = 4 * batch

    private let spans = Mutex<[RecordedSpan]>([])
    private let isFilling = WakeUp()
    private let dropped = Counter(label: "entrepot_spans_dropped_total", dimensions: [("reason", "full")])

    package init() {}

    func add(_ span: RecordedSpan) {
        let count = spans.withLock { spans in
            guard spans.count < Self.maximum else { return nil as Int? }
            spans.append(span)
            return spans.count
        }
        guard let count else { return dropped.increment() }
        if count == Self.batch { isFilling.wake() }
    }

    /// The oldest, as many as one request carries.
    func take() -> [RecordedSpan] {
        spans.withLock { spans in
            let batch = Array(spans.prefix(Self.batch))
            spans.removeFirst(batch.count)
            return batch
        }
    }

    /// Returns when there is a whole batch, after the duration, or when the task is cancelled.
    func wait(atMost duration: Duration) async { await isFilling.wait(atMost: duration) }
}
