// SPDX-License-Identifier: Apache-2.0

package import Logging
import ServiceLifecycle

/// Does a piece of work again and again until shutdown; a failure is logged, and the next time comes all the same.
package struct RepeatedWork: Service {
    private let name: String
    private let interval: Duration
    private let logger: Logger
    private let body: @Sendable () async throws -> Void

    /// - Parameters:
    ///   - name: completes "… failed" in the log
    ///   - interval: from the end of one time to the beginning of the next
    package init(
        _ name: String,
        every interval: Duration,
        logger: Logger,
        body: @escaping @Sendable () async throws -> Void
    ) {
        self.name = name
        self.interval = interval
        self.logger = logger
        self.body = body
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await body()
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("\(name) failed", metadata: ["error": "\(error)"])
                }
                do { try await Task.sleep(for: interval) } catch { return }
            }
        }
    }
}
