// SPDX-License-Identifier: Apache-2.0

import Jobs
package import Logging
package import Models
package import Postgres

/// Fetches images ahead: asks the fetchers for everything that belongs to them, and follows until it is here.
package struct ImageWarmer: Sendable {
    package struct Configuration: Sendable {
        /// How often the database is looked at.
        package var pollInterval: Duration = .milliseconds(200)
        /// How long nothing may come before an image is given up.
        package var stallDeadline: Duration = .seconds(300)
        /// Images that are followed at once.
        package var concurrency = 4

        package init() {}
    }

    let configuration: Configuration
    let client: PostgresClient
    let notifier: JobNotifier
    let report: @Sendable (WarmNews) -> Void

    /// - Parameter report: told everything that happens, from several tasks
    package init(
        _ configuration: Configuration = .init(),
        client: PostgresClient,
        logger: Logger,
        report: @escaping @Sendable (WarmNews) -> Void
    ) {
        self.configuration = configuration
        self.client = client
        self.notifier = JobNotifier(client: client, logger: logger)
        self.report = report
    }

    /// Fetches the images. What can't be had is told in its result and holds up no other.
    /// - Parameter choice: nil for the platforms that the organization lists, or else ``PlatformChoice/standard``
    /// - Returns: one result per target, in their order.
    /// - Throws: ``PostgresError`` when the database is lost; `CancellationError`.
    package func warm(_ targets: [WarmTarget], _ choice: PlatformChoice?) async throws -> [WarmResult] {
        try await withThrowingTaskGroup(of: (Int, WarmResult).self) { group in
            var results: [Int: WarmResult] = [:]
            for (number, target) in targets.enumerated() {
                if number >= configuration.concurrency, let (done, result) = try await group.next() {
                    results[done] = result
                }
                group.addTask {
                    var image = WarmImage(warmer: self, target: target, choice: choice)
                    return (number, try await image.run())
                }
            }
            for try await (done, result) in group { results[done] = result }
            return targets.indices.compactMap { results[$0] }
        }
    }
}
