// SPDX-License-Identifier: Apache-2.0

import Accounts
import HTTPTypes
import Hummingbird
import Logging
import Models
import OCI
import Postgres

/// Answers requests by the operation that they ask for.
struct APIRouter: Sendable {
    private let responder: RouterResponder<APIContext>
    private let endings: [[String]]

    init(_ operations: [Operation], access: OrganizationAccess, authenticator: Authenticator, logger: Logger) {
        let router = Router(context: APIContext.self)
        router.add(middleware: APIErrors(logger: logger))
        router.add(middleware: APIAuthentication(authenticator: authenticator))
        let version = router.group("api/v1")
        var methods: [String: [HTTPRequest.Method]] = [:]
        for operation in operations {
            methods[operation.path, default: []].append(operation.method)
            version.on(operation.routerPath, method: operation.method) { request, context in
                try await Self.answer(request, context, operation, access)
            }
        }
        for operation in operations {
            guard let known = methods.removeValue(forKey: operation.path) else { continue }
            let allowed = known.map(\.rawValue).sorted().joined(separator: ", ")
            for method in Self.methods where !known.contains(method) {
                version.on(operation.routerPath, method: method) { _, _ -> Response in
                    throw APIError(
                        status: .methodNotAllowed,
                        type: "invalid_request",
                        message: "\(method.rawValue) isn't allowed here",
                        headers: [.allow: allowed]
                    )
                }
            }
        }
        responder = router.buildResponder()
        let prefix = "repository/{repository}/"
        endings = operations.map(\.path).filter { $0.hasPrefix(prefix) }
            .map { $0.dropFirst(prefix.count).split(separator: "/").map(String.init) }
    }

    private static let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options, .trace]

    func respond(to request: Request, context: APIContext) async throws -> Response {
        guard Self.methods.contains(request.method) else {
            let error = APIError(
                status: .methodNotAllowed,
                type: "invalid_request",
                message: "\(request.method.rawValue) isn't understood here",
                headers: [.allow: "DELETE, GET, POST, PUT"]
            )
            return try error.response(from: request, context: context)
        }
        var head = request.head
        let parts = (head.path ?? "/").split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = RepositoryPath.fold(String(parts[0]), endings: endings)
        head.path = parts.count == 2 ? "\(path)?\(parts[1])" : path
        return try await responder.respond(to: Request(head: head, body: request.body), context: context)
    }

    private static func answer(
        _ request: Request,
        _ context: APIContext,
        _ operation: Operation,
        _ access: OrganizationAccess
    ) async throws -> Response {
        // Who may not ask learns nothing of what is wrong with the request.
        let place = try await access.place(of: operation.access, context)
        let query = try Fields(query: request, operation.query)
        var body = Fields.none
        if let members = operation.body {
            body = try await Fields(body: request, members)
        } else {
            try await Fields.refuse(bodyOf: request)
        }
        return try await operation.handler(Call(context: context, query: query, body: body, place: place))
    }
}

/// Makes every failure an answer in the API's form.
struct APIErrors: RouterMiddleware {
    let logger: Logger

    @concurrent
    func handle(
        _ request: Request,
        context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        let error: APIError
        do { return try await next(request, context) } catch let failure as APIError {
            error = failure
        } catch let failure as HTTPError {
            let type = failure.status == .notFound ? "not_found" : "invalid_request"
            error = APIError(status: failure.status, type: type, message: failure.body ?? failure.status.reasonPhrase)
        } catch let failure as PostgresError where failure.sqlState == .foreignKeyViolation {
            // What the path names was there when the caller was let in, and somebody has removed it since.
            error = APIError.notFound("Not Found")
        } catch {
            logger.error("request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            let failure = APIError(
                status: .serviceUnavailable,
                type: "internal_error",
                message: "the request can't be answered at the moment",
                headers: [.retryAfter: "5"]
            )
            return try failure.response(from: request, context: context)
        }
        return try error.response(from: request, context: context)
    }
}
