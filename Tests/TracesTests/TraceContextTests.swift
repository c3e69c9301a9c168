// SPDX-License-Identifier: Apache-2.0

import Testing
import Tracing

@testable import Traces

@Suite("Trace context")
struct TraceContextTests {
    /// The example of W3C Trace Context, section 3.2.
    private static let example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test("what was read is written as it was")
    func roundTrip() throws {
        let trace = try #require(TraceContext(traceparent: Self.example))
        #expect(trace.traceID.description == "0af7651916cd43dd8448eb211c80319c")
        #expect(trace.spanID == 0xb7ad_6b71_6920_3331)
        #expect(trace.isSampled)
        #expect(trace.traceparent == Self.example)
        let leading = "00-00000000000000000000000000000001-0000000000000002-00"
        #expect(TraceContext(traceparent: leading)?.traceparent == leading)
    }

    @Test("a later version is read as far as it is known, and only the flag that is known counts")
    func later() throws {
        let trace = try #require(
            TraceContext(traceparent: "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe-what-the-future-has")
        )
        #expect(!trace.isSampled)
        #expect(trace.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    }

    @Test(
        "anything else is no trace",
        arguments: [
            "", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        ]
    )
    func invalid(_ text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }
}

@Suite("Tracer")
struct SpanTracerTests {
    private struct Fields: Injector, Extractor {
        func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }

        func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
    }

    private let queue = SpanQueue()

    @Test("a span inside of another belongs to its trace, wherever it is made")
    func nested() throws {
        let tracer = SpanTracer(queue, share: 1)
        let outer = tracer.startSpan("outer", context: .topLevel)
        var fields: [String: String] = [:]
        tracer.inject(outer.context, into: &fields, using: Fields())
        var context = ServiceContext.topLevel
        SpanTracer(SpanQueue(), share: 0).extract(fields, into: &context, using: Fields())
        let inner = tracer.startSpan("inner", context: context, ofKind: .client)
        inner.end()
        outer.end()
        outer.end()
        let spans = queue.take()
        #expect(spans.map(\.name) == ["inner", "outer"])
        #expect(spans[0].trace.traceID == spans[1].trace.traceID)
        #expect(spans[0].parent == spans[1].trace.spanID && spans[1].parent == nil)
        #expect(spans.allSatisfy { $0.end >= $0.start })
    }

    @Test("a trace that isn't recorded leaves nothing behind, and is passed on as such")
    func notSampled() {
        let tracer = SpanTracer(queue, share: 0)
        let outer = tracer.startSpan("outer", context: .topLevel)
        #expect(!outer.isRecording && outer.context.recordedTraceID == nil)
        outer.attributes["key"] = "value"
        #expect(outer.attributes.isEmpty)
        // Somebody who records everything still doesn't record this one.
        SpanTracer(queue, share: 1).startSpan("inner", context: outer.context).end()
        outer.end()
        #expect(queue.take().isEmpty)
    }

    @Test("of the traces that begin here a share is recorded")
    func share() {
        let tracer = SpanTracer(queue, share: 0.25)
        let recorded = (0..<4_000).count { _ in tracer.startSpan("span", context: .topLevel).isRecording }
        #expect((800...1_200).contains(recorded))
    }

    @Test("an error is an event, and the span's status")
    func error() {
        struct Broken: Error {}
        let span = SpanTracer(queue, share: 1).startSpan("span", context: .topLevel)
        span.recordError(Broken())
        span.end()
        // What comes after the end is too late.
        span.setStatus(SpanStatus(code: .ok))
        let recorded = queue.take()
        #expect(recorded.first?.status?.code == .error)
        #expect(recorded.first?.events.map(\.name) == ["exception"])
    }

    @Test("what doesn't fit is dropped")
    func full() {
        let tracer = SpanTracer(queue, share: 1)
        for _ in 0..<10_000 { tracer.startSpan("span", context: .topLevel).end() }
        var kept = 0
        while true {
            let batch = queue.take()
            if batch.isEmpty { break }
            #expect(batch.count <= 512)
            kept += batch.count
        }
        #expect(kept == 2_048)
    }
}
