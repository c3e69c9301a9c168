// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

/// An error as a registry client sees it: code, HTTP status, message and detail
/// (distribution-spec "Error Codes").
package struct RegistryError: Error, Hashable, CustomStringConvertible {
    /// What the client is told.
    package let code: Code
    /// HTTP status of the response.
    package let status: Int
    /// One sentence for people.
    package let message: String
    /// Facts for programs, when there are any.
    package let detail: [String: String]?
    /// When trying again is worth it, in seconds from now; sent as `Retry-After`.
    package let retryAfterSeconds: Int?
    /// What the resource does allow; sent as `Allow`, which a 405 must have (RFC 9110 section 15.5.6).
    package let allowedMethods: [HTTPRequest.Method]?
    /// How to be let in; sent as `WWW-Authenticate`, which a 401 must have (RFC 9110 section 15.5.2).
    package let challenge: String?

    /// Makes an error. Without `status` the code's own one is used.
    package init(
        _ code: Code,
        status: Int? = nil,
        message: String,
        detail: [String: String]? = nil,
        retryAfterSeconds: Int? = nil,
        allowedMethods: [HTTPRequest.Method]? = nil,
        challenge: String? = nil
    ) {
        self.code = code
        self.status = status ?? code.defaultStatus
        self.message = message
        self.detail = detail
        self.retryAfterSeconds = retryAfterSeconds
        self.allowedMethods = allowedMethods
        self.challenge = challenge
    }

    /// Status, code and message on one line.
    package var description: String { "\(status) \(code): \(message)" }

    /// The response body: `{"errors":[{"code":…,"message":…,"detail":…}]}`, keys of `detail` in order.
    package var body: [UInt8] {
        var text = "{\"errors\":[{\"code\":\(JSONText.quote(code.rawValue)),\"message\":\(JSONText.quote(message))"
        if let detail {
            let pairs = detail.sorted { $0.key < $1.key }
                .map { "\(JSONText.quote($0.key)):\(JSONText.quote($0.value))" }
            text += ",\"detail\":{\(pairs.joined(separator: ","))}"
        }
        return Array((text + "}]}").utf8)
    }

    /// The response headers that belong to the error: `Content-Type`, and `Retry-After` and `Allow` where known.
    package func headers() -> HTTPFields {
        var fields = HTTPFields()
        fields[.contentType] = "application/json"
        if let retryAfterSeconds { fields[.retryAfter] = String(max(0, retryAfterSeconds)) }
        if let challenge { fields[.wwwAuthenticate] = challenge }
        if let allowedMethods { fields[.allow] = allowedMethods.map(\.rawValue).joined(separator: ", ") }
        return fields
    }
}
