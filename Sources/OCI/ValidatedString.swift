// SPDX-License-Identifier: Apache-2.0

/// A string that was checked once, when it was made, and cannot be wrong afterwards.
///
/// Conforming types are coded as one plain string.
package protocol ValidatedString: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible
where RawValue == String {
    /// Checks `string`.
    ///
    /// - Throws: ``OCIError`` that names the offending input.
    init(_ string: String) throws(OCIError)
}

extension ValidatedString {
    /// Checks `rawValue`; nil when it is not valid. ``init(_:)`` says why.
    package init?(rawValue: String) {
        do throws(OCIError) { try self.init(rawValue) } catch { return nil }
    }

    /// The string itself.
    package var description: String { rawValue }
}
