// SPDX-License-Identifier: Apache-2.0

import Models

/// What the queue refuses; PostgreSQL's own failures are `PostgresError`s.
package struct JobQueueError: Error, CustomStringConvertible, Sendable {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Base: String { case leaseLost, corruptRow }
        private let base: Base
        private init(_ base: Base) { self.base = base }

        /// The lease ran out and the job is somebody else's: publish nothing.
        package static let leaseLost = Self(.leaseLost)
        /// A row holds what its type forbids.
        package static let corruptRow = Self(.corruptRow)

        package var description: String { base.rawValue }
    }

    package let code: Code
    package let message: String
    package let file: String
    package let line: Int

    init(_ code: Code, _ message: String, file: String = #fileID, line: Int = #line) {
        self.code = code
        self.message = message
        self.file = file
        self.line = line
    }

    package var description: String { "\(code): \(message)" }

    static func leaseLost(_ lease: JobLease, file: String = #fileID, line: Int = #line) -> Self {
        Self(.leaseLost, "job \(lease.job) was given to another worker", file: file, line: line)
    }
}
