// SPDX-License-Identifier: Apache-2.0

import OCI

/// The first path component of what clients pull: one component of the distribution specification's
/// repository name grammar, 2 to 255 characters.
package struct OrganizationName: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: String

    /// Throws ``ModelError`` when the text isn't one lower-case name component.
    package init(_ text: String) throws(ModelError) {
        guard text.utf8.count >= 2, let name = RepositoryName(rawValue: text), name.components.count == 1 else {
            throw ModelError(
                "organization \"\(text)\": must be 2 to 255 lower-case letters, digits and inner separators (. _ -)"
            )
        }
        self.rawValue = text
    }

    package init?(rawValue: String) {
        guard let name = try? Self(rawValue) else { return nil }  // a failable init says only yes or no
        self = name
    }

    package var description: String { rawValue }
}
