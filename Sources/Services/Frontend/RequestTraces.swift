// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HummingbirdCore
import Models
import Tracing

/// A span for each request of the registry.
struct RequestTraces: Sendable {
    private struct Fields: Extractor {
        func extract(key: String, from carrier: HTTPFields) -> String? {
            HTTPField.Name(key).flatMap { carrier[$0] }
        }
    }

    /// Looked up once: it is asked at every request.
    private let tracer = InstrumentationSystem.tracer

    /// The context of what the request has done. A proxy that we trust may have begun its trace; others can't decide what
    /// is recorded here.
    func begin(_ head: HTTPRequest, _ id: RequestID, from origin: RequestOrigin) -> any Span {
        var context = ServiceContext.topLevel
        context.requestID = id
        if origin.isVouchedFor { tracer.extract(head.headerFields, into: &context, using: Fields()) }
        return tracer.startAnySpan(head.method.rawValue, context: context, ofKind: .server)
    }

    /// As OpenTelemetry names what HTTP servers do (semantic conventions, "HTTP server span").
    func end(_ exchange: Exchange, _ failure: (any Error)?) {
        let span = exchange.span
        if span.isRecording {
            if let kind = exchange.kind { span.operationName += " \(kind.rawValue)" }
            span.attributes["http.request.method"] = exchange.request.method.rawValue
            span.attributes["url.path"] = exchange.request.uri.path
            span.attributes["http.response.status_code"] = exchange.reply.status
            span.attributes["client.address"] = exchange.address
            span.attributes["entrepot.request.id"] = exchange.id.rawValue
            span.attributes["entrepot.outcome"] = exchange.outcome?.rawValue
            if let failure {
                span.recordError(failure)
            } else if exchange.reply.status >= 500 {
                span.setStatus(SpanStatus(code: .error))
            }
        }
        span.end()
    }
}
