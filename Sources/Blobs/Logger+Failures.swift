// SPDX-License-Identifier: Apache-2.0

package import Logging

extension Logger {
    /// One line for all files of a batch that couldn't be had: a device that fails would make thousands.
    package func report(_ failures: [BlobStorageError], as message: Logger.Message) {
        guard let first = failures.first else { return }
        error(message, metadata: ["count": "\(failures.count)", "error": "\(first)"])
    }
}
