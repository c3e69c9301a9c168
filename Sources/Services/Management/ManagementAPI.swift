// SPDX-License-Identifier: Apache-2.0

package import Accounts
package import Blobs
import HTTPTypes
import Hummingbird
package import HummingbirdCore
package import Jobs
package import Logging
package import Postgres
package import PullThrough

/// `/api/v1`: how organizations are configured and what they have, in the model's paths and words.
package struct ManagementAPI: Sendable {
    package struct Configuration: Sendable {
        /// How long ended tags can be revived where an organization says nothing of it.
        package var timeMachine: Duration = .seconds(14 * 86_400)
        package var hasQuotas = true
        /// Where clients find the service; nil for wherever they came from.
        package var server: String?
        /// How long a caller waits for a fetcher to try a configuration out.
        package var checkDeadline: Duration = .seconds(30)

        package init() {}
    }

    package static let prefixes = ["/api/", documentPath]
    private static let documentPath = "/openapi.json"

    private let router: APIRouter
    private let desk: FetchDesk
    private let logger: Logger

    /// - Parameter space: asks the blob storage for its room
    package init(
        _ configuration: Configuration,
        client: PostgresClient,
        authenticator: Authenticator,
        notifier: JobNotifier,
        hub: ChangeHub,
        space: @escaping @Sendable () throws -> StorageSpace,
        logger: Logger
    ) {
        self.logger = logger
        desk = FetchDesk(
            client: client,
            notifier: notifier,
            hub: hub,
            deadline: configuration.checkDeadline,
            logger: logger
        )
        let access = OrganizationAccess(client: client, notifier: notifier)
        let operations: [[Operation]] = [
            OrganizationRoutes(client: client, access: access, settings: configuration).operations,
            ProxyCacheRoutes(client: client, access: access, desk: desk).operations,
            MemberRoutes(client: client, access: access, notifier: notifier).operations,
            RobotRoutes(client: client, access: access, notifier: notifier).operations,
            QuotaRoutes(client: client, access: access, isEnabled: configuration.hasQuotas).operations,
            RepositoryRoutes(client: client, access: access).operations,
            TagRoutes(client: client, access: access, timeMachine: configuration.timeMachine).operations,
            ManifestRoutes(client: client).operations,
            SecurityRoutes(client: client).operations,
            LogRoutes(client: client).operations,
            StatisticsRoutes(client: client, timeMachine: configuration.timeMachine).operations,
            DoctorRoutes(client: client, desk: desk, space: space).operations,
            UserRoutes(client: client, access: access, authenticator: authenticator, notifier: notifier).operations,
            TokenRoutes(client: client, access: access, notifier: notifier).operations,
        ]
        let all = operations.flatMap(\.self)
        router = APIRouter(
            all + [DiscoveryRoutes.operation(all, server: configuration.server)],
            access: access,
            authenticator: authenticator,
            logger: logger
        )
    }

    /// Runs until cancelled. Answers that wait for a fetcher need it.
    package func run() async throws { try await desk.run() }

    /// Answers a request whose path begins with one of ``prefixes``.
    /// - Parameter address: the client's
    package func respond(to request: Request, from address: String) async throws -> Response {
        let start = ContinuousClock.now
        var request = request
        if request.uri.path == Self.documentPath {
            var head = request.head
            head.path = "/api/v1/discovery"
            request = Request(head: head, body: request.body)
        }
        let source = APISource(logger: logger, address: address)
        let response = try await router.respond(to: request, context: APIContext(source: source))
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
