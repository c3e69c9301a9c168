// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Models

/// One thing that the API does: how it is asked for, who may, and what it answers. The router and the API's document are
/// both made of these.
struct Operation: Sendable {
    /// Who may ask.
    enum Access: Sendable {
        case anybody
        /// Whoever has logged in.
        case account
        case superuser
        /// Whoever has the role in the organization of the path.
        case organization(OrganizationRole)
        /// Whoever may pull from the repository of the path.
        case pull
        /// Whoever may pull from the organization that the query names, as its handler finds out.
        case namespace
        /// Whoever has the role in the organization of the repository of the path.
        case repository(OrganizationRole)
    }

    /// What a good answer is.
    struct Success: Sendable {
        let status: HTTPResponse.Status
        /// Nil: no body.
        let schema: Schema?
        var mediaTypes = ["application/json"]

        static func ok(_ schema: Schema) -> Success { Success(status: .ok, schema: schema) }
        static func ok(_ members: [Schema.Member]) -> Success { .ok(.object(members)) }
        static func says(_ word: String, _ status: HTTPResponse.Status = .ok) -> Success {
            Success(status: status, schema: .choice([word]))
        }
        static let noContent = Success(status: .noContent, schema: nil)
    }

    typealias Handler = @Sendable (Call) async throws -> Response

    let method: HTTPRequest.Method
    /// With `{names}`, under `/api/v1`.
    let path: String
    let id: String
    let about: String
    let access: Access
    let query: [Schema.Member]
    /// Members of the body; nil for an operation that reads none.
    let body: [Schema.Member]?
    let success: Success
    let handler: Handler

    init(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ id: String,
        _ about: String,
        _ access: Access,
        query: [Schema.Member] = [],
        body: [Schema.Member]? = nil,
        _ success: Success,
        _ handler: @escaping Handler
    ) {
        self.method = method
        self.path = path
        self.id = id
        self.about = about
        self.access = access
        self.query = query
        self.body = body
        self.success = success
        self.handler = handler
    }

    /// Names in the path, in order.
    var pathParameters: [String] {
        path.split(separator: "/").compactMap { $0.hasPrefix("{") ? String($0.dropFirst().dropLast()) : nil }
    }

    /// As the router writes it.
    var routerPath: RouterPath {
        RouterPath(
            path.split(separator: "/").map { $0.hasPrefix("{") ? ":" + $0.dropFirst().dropLast() : String($0) }
                .joined(separator: "/")
        )
    }
}
