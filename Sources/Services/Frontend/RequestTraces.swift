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
    /// - Parameters:
    ///   - address: the client's
    ///   - failure: why the client didn't get all that there is
    func end(
        _ span: any Span,
        _ request: Request,
        status: Int,
        from address: String?,
        pull: (kind: PullKind, outcome: PullOutcome)? = nil,
        failure: (any Error)? = nil
    ) {
        defer { span.end() }
        guard span.isRecording else { return }
        span.attributes["http.request.method"] = request.method.rawValue
        span.attributes["url.path"] = request.uri.path
        span.attributes["http.response.status_code"] = status
        span.attributes["client.address"] = address
        span.attributes["entrepot.request.id"] = span.context.requestID?.rawValue
        if let pull {
            span.operationName += " \(pull.kind.rawValue)"
            span.attributes["entrepot.outcome"] = pull.outcome.rawValue
        }
        if let failure {
            span.recordError(failure)
        } else if status >= 500 {
            span.setStatus(SpanStatus(code: .error))
        }
    }
}
