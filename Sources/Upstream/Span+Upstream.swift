// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Tracing

extension Span {
    /// As OpenTelemetry names what HTTP clients do (semantic conventions, "HTTP client span").
    func tell(_ request: HTTPTransportRequest, for what: String) {
        guard isRecording else { return }
        attributes["http.request.method"] = request.method.rawValue
        attributes["server.address"] = Origin(request.url)?.host
        attributes["entrepot.asked"] = what
    }

    func tell(_ head: HTTPTransportHead) {
        guard isRecording else { return }
        attributes["http.response.status_code"] = head.status
        if head.status >= 400 { setStatus(SpanStatus(code: .error)) }
    }
}
