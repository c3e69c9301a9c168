// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import Testing

@testable import HTTPTransport
@testable import Upstream

@Suite("Causes of failures")
struct FetchFailureTests {
    private func failure(_ status: Int, retryAfter: String? = nil) -> FetchFailure {
        var headers = HTTPFields()
        headers[.retryAfter] = retryAfter
        let head = HTTPTransportHead(status: status, headers: headers, httpVersion: "HTTP/1.1", peerAddress: nil)
        return FetchFailure.status(head, asking: UpstreamRepository.sample(), for: "manifest latest")
    }

    @Test(
        "a status that wasn't hoped for is a cause",
        arguments: [
            (404, .notFound), (410, .notFound), (401, .denied), (403, .denied), (429, .rateLimited),
            (400, .upstreamError), (405, .upstreamError), (406, .upstreamError), (416, .upstreamError),
            (451, .upstreamError), (500, .upstreamError), (502, .upstreamError), (503, .upstreamError),
            (504, .upstreamError), (204, .upstreamError), (304, .upstreamError), (999, .upstreamError),
        ] as [(Int, FetchFailure.Cause)]
    )
    func statuses(_ status: Int, _ cause: FetchFailure.Cause) {
        let failure = failure(status)
        #expect(failure.cause == cause)
        #expect(failure.upstreamStatus == status)
        #expect(failure.retryAfterSeconds == nil)
        #expect(failure.message.contains("registry.example/org/app"))
    }

    @Test("when upstream wants to be asked again is kept", arguments: [429, 503, 403])
    func retryAfter(_ status: Int) {
        #expect(failure(status, retryAfter: "17").retryAfterSeconds == 17)
        #expect(failure(status, retryAfter: "soon").retryAfterSeconds == nil)
    }

    @Test(
        "an error of the transport is a cause",
        arguments: [
            (.dns, .unreachable), (.connectRefused, .unreachable), (.tls, .unreachable), (.other, .unreachable),
            (.connectTimeout, .timeout), (.firstByteTimeout, .timeout), (.idleTimeout, .timeout),
            (.totalTimeout, .timeout),
            (.addressRefused, .refusedAddress), (.bodyTooLarge, .badContent), (.truncated, .upstreamError),
            (.protocolError, .upstreamError), (.headerTooLarge, .upstreamError), (.shutdown, .cache), (.badURL, .cache),
            (.unsupportedScheme, .cache),
        ] as [(HTTPTransportError.Code, FetchFailure.Cause)]
    )
    func errors(_ code: HTTPTransportError.Code, _ cause: FetchFailure.Cause) {
        let error = HTTPTransportError(code, "the reason")
        let failure = FetchFailure.transport(error, asking: UpstreamRepository.sample(), for: "manifest latest")
        #expect(failure.cause == cause)
        #expect(failure.upstreamStatus == nil)
        #expect(failure.message.contains("registry.example/org/app"))
        #expect(failure.message.contains("manifest latest"))
        #expect(failure.message.contains("the reason"))
    }
}
