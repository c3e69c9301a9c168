// SPDX-License-Identifier: Apache-2.0

/// A setting that can't be used. The message names the setting, where it was set, and the value unless it is secret.
package struct SettingsError: Error, CustomStringConvertible, Sendable {
    package let description: String

    package init(_ description: String) { self.description = description }
}
