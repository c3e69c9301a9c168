// SPDX-License-Identifier: Apache-2.0

/// A value that breaks a rule of the domain; the message names the value and the rule.
package struct ModelError: Error, CustomStringConvertible, Sendable {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
