// SPDX-License-Identifier: Apache-2.0

import Foundation
package import HTTPTypes

/// A span as a collector has got it.
package struct CollectedSpan: Sendable {
    package let service: String
    package let name: String
    package let trace: String
    package let id: String
    package let parent: String?
    /// As OTLP numbers them: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    package let kind: Int
    /// 1 fine, 2 error; nil if nothing was said.
    package let status: Int?
    package let nanoseconds: (start: UInt64, end: UInt64)
    /// Values as text.
    package let attributes: [String: String]
    package let events: [String]
}

/// What a collector of OTLP over HTTP does, as far as that can be seen from outside.
package final class SpanCollector: Sendable {
    private let spansJournal = Journal<CollectedSpan>()
    private let failures = Journal<String>()

    package init() {}

    package var spans: [CollectedSpan] { spansJournal.entries }
    /// Why it couldn't read something.
    package var complaints: [String] { failures.entries }

    /// - Parameter body: gets the collector, and its base URL
    package static func with<Result: Sendable>(
        _ body: (SpanCollector, String) async throws -> Result
    ) async throws -> Result {
        let collector = SpanCollector()
        return try await StaticServer.with { path, headers, content in
            collector.answer(path, headers, content)
        } _: { url in
            try await body(collector, url)
        }
    }

    package func answer(_ path: String, _ headers: HTTPFields, _ content: [UInt8]) -> (Int, String, [UInt8]) {
        guard path == "/v1/traces", headers[.contentType] == "application/json" else {
            failures.note("\(path) of \(headers[.contentType] ?? "no type")")
            return (404, "application/json", [])
        }
        do {
            for span in try Self.read(Data(content)) { spansJournal.note(span) }
            return (200, "application/json", Array("{}".utf8))
        } catch {
            failures.note("\(error)")
            return (400, "application/json", [])
        }
    }

    /// Waits for a span, and fails when it doesn't come.
    package func first(_ what: String, where isIt: (CollectedSpan) -> Bool) async throws -> CollectedSpan {
        try await eventually("the collector has \(what)") { spans.contains(where: isIt) }
        guard let span = spans.first(where: isIt) else { throw TestSupportError(what) }
        return span
    }

    private static func read(_ content: Data) throws -> [CollectedSpan] {
        struct Value: Decodable {
            let stringValue: String?
            let boolValue: Bool?
            let intValue: String?
            let doubleValue: Double?
        }
        struct Attribute: Decodable {
            let key: String
            let value: Value

            var text: String {
                value.stringValue ?? value.intValue ?? value.boolValue.map { "\($0)" }
                    ?? value.doubleValue.map { "\($0)" } ?? ""
            }
        }
        struct Event: Decodable {
            let timeUnixNano: String
            let name: String
        }
        struct Status: Decodable { let code: Int }
        struct Span: Decodable {
            let traceId, spanId: String
            let parentSpanId: String?
            let name: String
            let kind: Int
            let startTimeUnixNano, endTimeUnixNano: String
            let attributes: [Attribute]
            let events: [Event]
            let status: Status?
        }
        struct Scope: Decodable { let spans: [Span] }
        struct Resource: Decodable { let attributes: [Attribute] }
        struct Part: Decodable {
            let resource: Resource
            let scopeSpans: [Scope]
        }
        struct Document: Decodable { let resourceSpans: [Part] }
        let document = try JSONDecoder().decode(Document.self, from: content)
        return try document.resourceSpans.flatMap { part in
            let service = part.resource.attributes.first { $0.key == "service.name" }?.text ?? ""
            return try part.scopeSpans.flatMap(\.spans).map { span in
                guard let start = UInt64(span.startTimeUnixNano), let end = UInt64(span.endTimeUnixNano) else {
                    throw TestSupportError("times of \(span.name)")
                }
                return CollectedSpan(
                    service: service,
                    name: span.name,
                    trace: span.traceId,
                    id: span.spanId,
                    parent: span.parentSpanId,
                    kind: span.kind,
                    status: span.status?.code,
                    nanoseconds: (start, end),
                    attributes: Dictionary(span.attributes.map { ($0.key, $0.text) }) { first, _ in first },
                    events: span.events.map(\.name)
                )
            }
        }
    }
}
