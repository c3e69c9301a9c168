// SPDX-License-Identifier: Apache-2.0

import Accounts
import HTTPTypes
import Hummingbird

/// Finds out who asks: `Basic` with a name and a password, `Bearer` with an API token.
struct APIAuthentication: RouterMiddleware {
    let authenticator: Authenticator

    @concurrent
    func handle(
        _ request: Request,
        context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        if let value = request.headers[.authorization] {
            let parts = value.split(separator: " ", maxSplits: 1)
            guard parts.count == 2 else { throw APIError.unauthenticated }
            let outcome: Authenticator.Outcome
            switch parts[0].lowercased() {
            case "basic":
                guard let login = BasicCredentials(encoded: parts[1]) else { throw APIError.unauthenticated }
                outcome = try await authenticator.login(
                    login.name,
                    login.secret,
                    from: context.address,
                    for: .management
                )
            case "bearer":
                outcome = try await authenticator.login(
                    token: String(parts[1]),
                    from: context.address,
                    for: .management
                )
            default:
                throw APIError.unauthenticated
            }
            switch outcome {
            case .accepted(let account, let credential):
                context.account = account
                context.credential = credential
            case .insufficient: throw APIError.forbidden
            case .refused: throw APIError.unauthenticated
            case .throttled(let seconds): throw APIError.throttled(retryAfterSeconds: seconds)
            }
        }
        return try await next(request, context)
    }
}
