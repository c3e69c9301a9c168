// SPDX-License-Identifier: Apache-2.0

package import Tracing

/// Makes spans, and decides which traces are recorded: those whose beginning came from elsewhere as that has decided, of
/// the others a share that their ids pick, so that every process picks the same ones.
package struct SpanTracer: Tracer {
    private static let traceparent = "traceparent"

    private let queue: SpanQueue
    /// Traces whose ids are below it are recorded.
    private let bound: UInt64

    /// - Parameter share: of the traces that begin here, 0 to 1
    package init(_ queue: SpanQueue, share: Double) {
        self.queue = queue
        bound = UInt64(min(max(share, 0), 1) * 0x1p63)
    }

    package func startSpan<Instant: TracerInstant>(
        _ operationName: String,
        context: @autoclosure () -> ServiceContext,
        ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant,
        function: String,
        file fileID: String,
        line: UInt
    ) -> TraceSpan {
        var context = context()
        let parent = context.trace
        let traceID = parent?.traceID ?? .init(high: .random(in: .min ... .max), low: .random(in: 1 ... .max))
        let trace = TraceContext(
            traceID: traceID,
            spanID: .random(in: 1 ... .max),
            isSampled: parent?.isSampled ?? (traceID.low >> 1 < bound)
        )
        context.trace = trace
        let span = RecordedSpan(
            trace: trace,
            parent: parent?.spanID,
            kind: kind,
            start: instant().nanosecondsSinceEpoch,
            name: operationName
        )
        return TraceSpan(span, context: context, queue: trace.isSampled ? queue : nil)
    }

    /// Spans go out when their time has come.
    package func forceFlush() {}

    package func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier,
        into context: inout ServiceContext,
        using extractor: Extract
    ) where Extract.Carrier == Carrier {
        guard let text = extractor.extract(key: Self.traceparent, from: carrier),
            let trace = TraceContext(traceparent: text)
        else { return }
        context.trace = trace
    }

    package func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext,
        into carrier: inout Carrier,
        using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let trace = context.trace else { return }
        injector.inject(trace.traceparent, forKey: Self.traceparent, into: &carrier)
    }
}
