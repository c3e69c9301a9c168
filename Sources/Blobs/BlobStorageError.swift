// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What the blob storage couldn't do.
package struct BlobStorageError: Error, CustomStringConvertible, Sendable {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Base: String { case missing, damaged, inUse, noSpace, io }
        private let base: Base
        private init(_ base: Base) { self.base = base }

        /// The object isn't there although its row says so.
        package static let missing = Self(.missing)
        /// The object hasn't the size that its row says.
        package static let damaged = Self(.damaged)
        /// A living worker is writing this partial.
        package static let inUse = Self(.inUse)
        /// No room on the device.
        package static let noSpace = Self(.noSpace)
        /// Any other failure of the device.
        package static let io = Self(.io)

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

    /// Whether the object isn't what its row says.
    package var isLoss: Bool { code == .missing || code == .damaged }

    /// The error of a system call that just failed.
    static func system(_ call: String, _ path: String, file: String = #fileID, line: Int = #line) -> Self {
        let number = errno
        let code: Code =
            switch number {
            case ENOENT: .missing
            case ENOSPC, EDQUOT: .noSpace
            default: .io
            }
        return Self(code, "\(call) \(path): \(String(cString: strerror(number)))", file: file, line: line)
    }
}
