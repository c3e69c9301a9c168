// SPDX-License-Identifier: Apache-2.0

/// A string or document that is not what the OCI specifications ask for.
///
/// Messages name the offending input, cut to 200 characters with its control characters escaped, so that they can
/// be logged and sent to clients as they are.
package struct OCIError: Error, CustomStringConvertible {
    /// What was wrong, for callers that branch on it.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case invalidDigest
            case invalidRepositoryName
            case invalidTag
            case invalidMediaType
            case invalidPlatform
            case invalidImageReference
            case invalidManifest
            case manifestTooLarge
            case unsupportedManifest
        }

        private let kind: Kind

        /// Not `sha256:` with 64 or `sha512:` with 128 lower-case hexadecimal digits.
        package static let invalidDigest = Code(kind: .invalidDigest)
        /// Outside the grammar of distribution-spec "Pulling manifests", or longer than 255 characters.
        package static let invalidRepositoryName = Code(kind: .invalidRepositoryName)
        /// Outside the grammar of distribution-spec "Pulling manifests".
        package static let invalidTag = Code(kind: .invalidTag)
        /// Not `type/subtype` made of RFC 9110 token characters.
        package static let invalidMediaType = Code(kind: .invalidMediaType)
        /// Not `os/architecture[/variant]`.
        package static let invalidPlatform = Code(kind: .invalidPlatform)
        /// Not `host[:port]/path[:tag][@digest]`.
        package static let invalidImageReference = Code(kind: .invalidImageReference)
        /// Malformed, ambiguous or self-contradicting manifest.
        package static let invalidManifest = Code(kind: .invalidManifest)
        /// More bytes than ``ManifestDocument/maximumBytes``.
        package static let manifestTooLarge = Code(kind: .manifestTooLarge)
        /// A manifest in a format that is not handled on purpose, such as Docker's schema 1.
        package static let unsupportedManifest = Code(kind: .unsupportedManifest)

        /// The code's name, for logs.
        package var description: String { kind.rawValue }
    }

    /// What was wrong.
    package let code: Code
    /// One sentence that names the offending input.
    package let message: String
    /// The error that led to this one, such as one of the JSON decoder.
    package let underlying: (any Error)?
    /// Source file that raised the error.
    package let file: String
    /// Line in ``file``.
    package let line: Int

    /// Makes an error located at the caller.
    package init(
        _ code: Code,
        _ message: String,
        underlying: (any Error)? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.underlying = underlying
        self.file = file
        self.line = line
    }

    /// Code and message on one line.
    package var description: String { "\(code): \(message)" }
}
