// SPDX-License-Identifier: Apache-2.0

import Tracing

/// Spans as OTLP's JSON has them (opentelemetry-proto, "ExportTraceServiceRequest" in the JSON mapping of OTLP 1.x: ids are
/// hexadecimal, 64-bit numbers are text, enumerations are numbers).
struct SpanDocument: Encodable {
    struct Attribute: Encodable {
        struct Value: Encodable {
            var stringValue: String?
            var boolValue: Bool?
            var intValue: String?
            var doubleValue: Double?
        }

        let key: String
        let value: Value
    }

    struct Resource: Encodable {
        let attributes: [Attribute]
    }

    struct Scope: Encodable {
        let name: String
    }

    struct Event: Encodable {
        let timeUnixNano: String
        let name: String
        let attributes: [Attribute]
    }

    struct Link: Encodable {
        let traceId: String
        let spanId: String
        let attributes: [Attribute]
    }

    struct Status: Encodable {
        let code: Int
        let message: String?
    }

    struct Span: Encodable {
        let traceId: String
        let spanId: String
        let parentSpanId: String?
        let name: String
        let kind: Int
        let startTimeUnixNano: String
        let endTimeUnixNano: String
        let attributes: [Attribute]
        let events: [Event]
        let links: [Link]
        let status: Status?
    }

    struct ScopeSpans: Encodable {
        let scope: Scope
        let spans: [Span]
    }

    struct ResourceSpans: Encodable {
        let resource: Resource
        let scopeSpans: [ScopeSpans]
    }

    let resourceSpans: [ResourceSpans]

    /// - Parameters:
    ///   - service: name of the program
    ///   - instance: name of this process of it
    init(_ spans: [RecordedSpan], service: String, instance: String) {
        let resource = Resource(attributes: [
            .init("service.name", .string(service)), .init("service.namespace", .string("entrepot")),
            .init("service.instance.id", .string(instance)),
        ])
        let scope = ScopeSpans(scope: Scope(name: "entrepot"), spans: spans.map(Span.init))
        resourceSpans = [ResourceSpans(resource: resource, scopeSpans: [scope])]
    }
}

extension SpanDocument.Span {
    fileprivate init(_ span: RecordedSpan) {
        traceId = span.trace.traceID.description
        spanId = span.trace.spanID.hexDigits
        parentSpanId = span.parent?.hexDigits
        name = span.name
        kind =
            switch span.kind {
            case .internal: 1
            case .server: 2
            case .client: 3
            case .producer: 4
            case .consumer: 5
            }
        startTimeUnixNano = "\(span.start)"
        endTimeUnixNano = "\(max(span.start, span.end))"
        attributes = SpanDocument.Attribute.all(span.attributes)
        events = span.events.map {
            .init(
                timeUnixNano: "\($0.nanosecondsSinceEpoch)",
                name: $0.name,
                attributes: SpanDocument.Attribute.all($0.attributes)
            )
        }
        links = span.links.map { trace, attributes in
            .init(
                traceId: trace.traceID.description,
                spanId: trace.spanID.hexDigits,
                attributes: SpanDocument.Attribute.all(attributes)
            )
        }
        status = span.status.map { status in
            switch status.code {
            case .ok: .init(code: 1, message: nil)
            case .error: .init(code: 2, message: status.message)
            }
        }
    }
}

extension SpanDocument.Attribute {
    fileprivate init(_ key: String, _ value: SpanAttribute) {
        self.key = key
        self.value =
            switch value {
            case .string(let text): Value(stringValue: text)
            case .bool(let isTrue): Value(boolValue: isTrue)
            case .int32(let number): Value(intValue: "\(number)")
            case .int64(let number): Value(intValue: "\(number)")
            case .double(let number): Value(doubleValue: number)
            // Nothing that we say is a list.
            default: Value(stringValue: "\(value)")
            }
    }

    /// In the order of their keys.
    fileprivate static func all(_ attributes: SpanAttributes) -> [Self] {
        var all: [Self] = []
        attributes.forEach { all.append(Self($0, $1)) }
        return all.sorted { $0.key < $1.key }
    }
}
