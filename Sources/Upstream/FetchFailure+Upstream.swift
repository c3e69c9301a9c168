// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Models

/// The one place where upstream's answers and the transport's errors become causes.
extension FetchFailure {
    /// Whether a status speaks of the registry's condition, not of what was asked for.
    static func isOutage(_ status: Int) -> Bool { status == 429 || status >= 500 && status != 501 }

    /// An answer whose status isn't the one hoped for.
    static func status(
        _ head: HTTPTransportHead,
        asking repository: some CustomStringConvertible,
        for what: String
    ) -> FetchFailure {
        let cause: Cause
        let reason: String
        switch head.status {
        case 404, 410: (cause, reason) = (.notFound, "doesn't have \(what)")
        case 401: (cause, reason) = (.denied, "wants other credentials for \(what) (401)")
        case 403: (cause, reason) = (.denied, "doesn't let us have \(what) (403)")
        case 429: (cause, reason) = (.rateLimited, "limits our rate (429)")
        default: (cause, reason) = (.upstreamError, "answered \(head.status) for \(what)")
        }
        return FetchFailure(
            cause,
            "upstream \(repository) \(reason)",
            retryAfterSeconds: head.headers[.retryAfter].flatMap(RetryAfter.seconds),
            upstreamStatus: head.status
        )
    }

    /// A request that got no answer, or not all of it.
    static func transport(
        _ error: HTTPTransportError,
        asking repository: some CustomStringConvertible,
        for what: String
    ) -> FetchFailure {
        let cause: Cause =
            switch error.code {
            case .dns, .connectRefused, .tls: .unreachable
            case .connectTimeout, .firstByteTimeout, .idleTimeout, .totalTimeout: .timeout
            case .addressRefused: .refusedAddress
            case .bodyTooLarge: .badContent
            case .truncated, .protocolError, .headerTooLarge: .upstreamError
            case .shutdown, .badURL, .unsupportedScheme: .cache
            default: .unreachable
            }
        return FetchFailure(cause, "upstream \(repository), asked for \(what): \(error.message)")
    }
}
