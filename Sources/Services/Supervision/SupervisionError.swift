// SPDX-License-Identifier: Apache-2.0

/// Why a machine's worth of Entrepot couldn't be brought up. The message says what to do.
package struct SupervisionError: Error, CustomStringConvertible, Sendable {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}

/// A process that won't run as it was started; it has said why.
package struct ChildRefusal: Error, CustomStringConvertible, Sendable {
    package let name: String
    package let status: Int32

    package var description: String { "\(name) can't be started; the lines above say why" }
}
