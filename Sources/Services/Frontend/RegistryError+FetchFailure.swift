// SPDX-License-Identifier: Apache-2.0

import Models
import OCI

extension RegistryError {
    /// What a client is told of a fetch that failed: the true cause, never "not found" for anything that isn't.
    /// - Parameter unknown: the code for a true 404 of what was asked for
    init(_ failure: FetchFailure, unknown: RegistryError.Code) {
        let (code, status): (RegistryError.Code, Int) =
            switch failure.cause {
            case .notFound: (unknown, 404)
            case .denied, .quotaExceeded: (.denied, 403)
            case .rateLimited: (.tooManyRequests, 429)
            case .unsupported: (.unsupported, 404)
            case .upstreamError, .badContent, .refusedAddress: (.unavailable, 502)
            case .unreachable, .cache: (.unavailable, 503)
            case .timeout: (.unavailable, 504)
            }
        self.init(
            code,
            status: status,
            message: failure.message,
            retryAfterSeconds: failure.retryAfterSeconds
        )
    }
}
