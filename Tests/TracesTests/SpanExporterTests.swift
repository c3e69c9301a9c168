// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tracing

@testable import Traces

@Suite("Exporter of spans", .timeLimit(.minutes(2)))
struct SpanExporterTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Runs an exporter while `body` runs, which gets a tracer; then it is shut down gracefully.
    private func exporting(to url: String, _ body: (SpanTracer) async throws -> Void) async throws {
        let queue = SpanQueue()
        var exporter = SpanExporter(
            queue,
            to: url,
            service: "registry-frontend",
            instance: "host:1",
            transport: HTTPTransport(
                HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none),
                logger: Self.logger
            ),
            logger: Self.logger
        )
        exporter.patience = .seconds(60)
        let group = ServiceGroup(services: [exporter], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await body(SpanTracer(queue, share: 1))
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    @Test("a collector gets what was traced, whole")
    func whole() async throws {
        try await SpanCollector.with { collector, url in
            try await exporting(to: url) { tracer in
                let outer = tracer.startSpan("outer", context: .topLevel, ofKind: .server)
                let inner = tracer.startSpan("inner", context: outer.context, ofKind: .client)
                inner.attributes["text"] = "täxt \"quoted\""
                inner.attributes["number"] = 42
                inner.attributes["truth"] = true
                inner.recordError(TestSupportError("broken"))
                inner.end()
                outer.setStatus(SpanStatus(code: .ok))
                outer.end()
                let got = try await collector.first("inner") { $0.name == "inner" }
                let parent = try await collector.first("outer") { $0.name == "outer" }
                #expect(got.service == "registry-frontend")
                #expect(got.trace == parent.trace && got.parent == parent.id && parent.parent == nil)
                #expect(got.kind == 3 && parent.kind == 2)
                #expect(got.status == 2 && parent.status == 1)
                #expect(got.attributes == ["text": "täxt \"quoted\"", "number": "42", "truth": "true"])
                #expect(got.events == ["exception"])
                #expect(got.nanoseconds.start <= got.nanoseconds.end)
                #expect(parent.nanoseconds.start <= got.nanoseconds.start)
            }
            #expect(collector.complaints.isEmpty)
        }
    }

    @Test("what a shutdown leaves unsent is sent")
    func shutdown() async throws {
        try await SpanCollector.with { collector, url in
            try await exporting(to: url) { tracer in
                for _ in 0..<1_300 { tracer.startSpan("span", context: .topLevel).end() }
            }
            #expect(collector.spans.count == 1_300)
        }
    }

    @Test("a collector that can't at the moment is asked again with the same spans, one that refuses isn't")
    func failures() async throws {
        let collector = SpanCollector()
        let statuses = Mutex([503, 429, 400])
        let answer: @Sendable (String, HTTPFields, [UInt8]) -> (Int, String, [UInt8]) = { path, headers, content in
            let status = statuses.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            return status.map { ($0, "text/plain", []) } ?? collector.answer(path, headers, content)
        }
        try await StaticServer.with(answer) { url in
            try await exporting(to: url) { tracer in
                // Put off twice, then refused.
                tracer.startSpan("refused", context: .topLevel).end()
                try await eventually("it was refused") { statuses.withLock { $0.isEmpty } }
                tracer.startSpan("taken", context: .topLevel).end()
                _ = try await collector.first("the next one") { $0.name == "taken" }
            }
            #expect(collector.spans.map(\.name) == ["taken"])
        }
    }

    @Test("without a collector a shutdown doesn't wait")
    func nobody() async throws {
        let closed = try ClosedPort()
        let begin = ContinuousClock.now
        try await exporting(to: "http://127.0.0.1:\(closed.port)") { tracer in
            tracer.startSpan("lost", context: .topLevel).end()
        }
        withExtendedLifetime(closed) {}
        #expect(ContinuousClock.now - begin < .seconds(50), "it has patience for sixty")
    }
}
