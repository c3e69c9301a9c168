// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Runs calls that wait for the device away from the threads that everything else needs.
package enum BlockingIO {
    private static let queue = DispatchQueue(label: "entrepot.blocking-io", attributes: .concurrent)

    package static func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: body)) }
        }
    }
}
