// SPDX-License-Identifier: Apache-2.0

package import Accounts
import HTTPTypes
import Hummingbird
package import HummingbirdCore
package import Jobs
package import Logging
import Metadata
import Models
package import NIOCore
package import Postgres

/// `/api/v1`: how organizations are configured, in the model's paths and words.
package struct ManagementAPI: Sendable {
    package static let prefix = "/api/"

    private let responder: RouterResponder<APIContext>
    private let logger: Logger

    package init(client: PostgresClient, authenticator: Authenticator, notifier: JobNotifier, logger: Logger) {
        self.logger = logger
        let router = Router(context: APIContext.self)
        router.add(middleware: APIErrors(logger: logger))
        router.add(middleware: APIAuthentication(authenticator: authenticator))
        let version = router.group("api/v1")
        let access = OrganizationAccess(client: client, notifier: notifier)
        OrganizationRoutes(client: client, access: access).add(to: version)
        ProxyCacheRoutes(client: client, access: access).add(to: version)
        SecurityRoutes(client: client).add(to: version)
        responder = router.buildResponder()
    }

    /// Answers a request whose path begins with ``prefix``.
    package func respond(to request: Request, on channel: any Channel) async throws -> Response {
        let start = ContinuousClock.now
        let source = APISource(logger: logger, address: channel.remoteAddress?.ipAddress ?? "unknown")
        let context = APIContext(source: source)
        let response = try await responder.respond(to: request, context: context)
        logger.info(
            "served",
            metadata: [
                "method": "\(request.method)", "path": "\(request.uri.path)", "status": "\(response.status.code)",
                "ms": "\((ContinuousClock.now - start) / .milliseconds(1))",
            ]
        )
        return response
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
        } catch {
            logger.error("request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            let failure = APIError(
                status: .serviceUnavailable,
                type: "internal_error",
                message: "the request can't be answered at the moment",
                retryAfterSeconds: 5
            )
            return try failure.response(from: request, context: context)
        }
        return try error.response(from: request, context: context)
    }
}
