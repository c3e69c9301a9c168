// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// An error as the model's API tells it: problem details (RFC 9457) with two fields more that its clients read.
struct APIError: HTTPResponseError {
    let status: HTTPResponse.Status
    /// `invalid_request`, `not_found`, …
    let type: String
    let message: String
    var headers: HTTPFields = [:]

    static func invalid(_ message: String) -> APIError {
        APIError(status: .badRequest, type: "invalid_request", message: message)
    }

    static func notFound(_ message: String) -> APIError {
        APIError(status: .notFound, type: "not_found", message: message)
    }

    static let unauthenticated = APIError(
        status: .unauthorized,
        type: "invalid_token",
        message: "Requires authentication"
    )

    static let forbidden = APIError(status: .forbidden, type: "insufficient_scope", message: "Unauthorized")

    /// A token was sent for what would outlive it.
    static let passwordRequired = APIError(
        status: .forbidden,
        type: "fresh_login_required",
        message: "log in with the password: a token can't do that"
    )

    /// Too many logins have failed, or are being checked.
    static func throttled(retryAfterSeconds seconds: Int) -> APIError {
        APIError(
            status: .tooManyRequests,
            type: "exceeds_rate_limit",
            message: "too many logins have failed, or are being checked",
            headers: [.retryAfter: String(seconds)]
        )
    }

    private struct Body: Encodable {
        let detail: String
        let error_message: String
        let error_type: String
        let title: String
        let type: String
        let status: Int
    }

    func response(from request: Request, context: some RequestContext) throws -> Response {
        let body = Body(
            detail: message,
            error_message: message,
            error_type: type,
            title: type,
            type: "/api/v1/error/\(type)",
            status: status.code
        )
        var response = try APIReply.json(body, status: status)
        response.headers[.contentType] = "application/problem+json"
        if status == .unauthorized { response.headers[.wwwAuthenticate] = "Basic realm=\"entrepot\"" }
        for field in headers { response.headers[field.name] = field.value }
        return response
    }
}

/// Answers that aren't errors.
enum APIReply {
    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Response(
            status: status,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(value)))
        )
    }
}
