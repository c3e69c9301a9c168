// SPDX-License-Identifier: Apache-2.0

/// Why a machine's worth of Entrepot couldn't be brought up. The message says what to do.
package struct SupervisionError: Error, CustomStringConvertible, Sendable {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
