// SPDX-License-Identifier: Apache-2.0

package import Logging
import Metrics
import ServiceLifecycle

/// Tells now and then, as metrics, how much room the storage has.
package struct StorageReadings: Service {
    private static let interval: Duration = .seconds(10)

    private let storage: FileBlobStorage
    private let logger: Logger

    package init(of storage: FileBlobStorage, logger: Logger) {
        self.storage = storage
        self.logger = logger
    }

    package func run() async throws {
        let (free, size) = (Meter(label: "entrepot_storage_free_bytes"), Meter(label: "entrepot_storage_size_bytes"))
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    let space = try await BlockingIO.run { try storage.space() }
                    free.set(space.freeBytes)
                    size.set(space.totalBytes)
                } catch {
                    logger.warning("the storage's room can't be read", metadata: ["error": "\(error)"])
                }
                do { try await Task.sleep(for: Self.interval) } catch { return }
            }
        }
    }
}
