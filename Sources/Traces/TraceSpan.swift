// SPDX-License-Identifier: Apache-2.0

import Synchronization
package import Tracing

/// A span of ours. One of a trace that isn't recorded carries its context on, and forgets everything else.
package final class TraceSpan: Span {
    package let context: ServiceContext
    private let queue: SpanQueue?
    private let state: Mutex<RecordedSpan>
    private let isOpen = Atomic(true)

    /// - Parameter queue: where it goes when it ends; nil not to record it
    init(_ span: RecordedSpan, context: ServiceContext, queue: SpanQueue?) {
        self.context = context
        self.queue = queue
        state = Mutex(span)
    }

    package var isRecording: Bool { queue != nil && isOpen.load(ordering: .relaxed) }

    package var operationName: String {
        get { state.withLock { $0.name } }
        set { change { $0.name = newValue } }
    }

    package var attributes: SpanAttributes {
        get { state.withLock { $0.attributes } }
        set { change { $0.attributes = newValue } }
    }

    package func setStatus(_ status: SpanStatus) { change { $0.status = status } }

    package func addEvent(_ event: SpanEvent) { change { $0.events.append(event) } }

    /// As OpenTelemetry wants exceptions (semantic conventions, "Exceptions in spans").
    package func recordError<Instant: TracerInstant>(
        _ error: any Error,
        attributes: SpanAttributes,
        at instant: @autoclosure () -> Instant
    ) {
        guard isRecording else { return }
        var attributes = attributes
        attributes["exception.type"] = "\(type(of: error))"
        attributes["exception.message"] = "\(error)"
        let event = SpanEvent(name: "exception", at: instant(), attributes: attributes)
        change { span in
            span.events.append(event)
            span.status = SpanStatus(code: .error, message: "\(error)")
        }
    }

    package func addLink(_ link: SpanLink) {
        guard let trace = link.context.trace else { return }
        change { $0.links.append((trace, link.attributes)) }
    }

    package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        guard let queue, isOpen.exchange(false, ordering: .relaxed) else { return }
        let nanoseconds = instant().nanosecondsSinceEpoch
        queue.add(
            state.withLock { span in
                span.end = nanoseconds
                return span
            }
        )
    }

    private func change(_ body: (inout RecordedSpan) -> Void) {
        guard isRecording else { return }
        state.withLock { body(&$0) }
    }
}

/// What is told of a span. Times are nanoseconds since 1970.
struct RecordedSpan: Sendable {
    let trace: TraceContext
    /// Nil for the first of its trace.
    let parent: UInt64?
    let kind: SpanKind
    let start: UInt64
    var end: UInt64 = 0
    var name: String
    var attributes = SpanAttributes()
    var events: [SpanEvent] = []
    var links: [(TraceContext, SpanAttributes)] = []
    var status: SpanStatus?
}
