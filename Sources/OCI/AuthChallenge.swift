// SPDX-License-Identifier: Apache-2.0

/// One challenge of a `WWW-Authenticate` header (RFC 9110 section 11.6.1). Written by a stranger: what it says is a
/// claim to check, not an instruction.
package struct AuthChallenge: Hashable, Sendable {
    /// The most bytes that are read from all headers of one response.
    package static let maximumBytes = 16_384
    /// The most challenges that are read.
    package static let maximumChallenges = 32

    /// The scheme in lower case, such as `bearer`.
    package let scheme: String
    /// Parameters by name in lower case; of a name that is given twice the first value.
    package let parameters: [String: String]
    /// The token that some schemes have in place of parameters.
    package let token68: String?

    /// Takes the fields as they are; `scheme` and the names in lower case.
    package init(scheme: String, parameters: [String: String] = [:], token68: String? = nil) {
        self.scheme = scheme
        self.parameters = parameters
        self.token68 = token68
    }

    /// Reads the challenges of a response, in order.
    ///
    /// Never fails: a challenge that is malformed (an unterminated quote, a control character, a stray byte) is left
    /// out, as is everything beyond ``maximumBytes`` or ``maximumChallenges``, the challenge that the limit cuts
    /// included. Commas between parameters may be missing, as they are at some registries.
    ///
    /// - Parameter headerValues: The value of each `WWW-Authenticate` line.
    package static func parse(_ headerValues: [String]) -> [AuthChallenge] {
        var challenges: [AuthChallenge] = []
        var remainingBytes = maximumBytes
        for value in headerValues {
            guard remainingBytes > 0, challenges.count < maximumChallenges else { break }
            let bytes = Array(value.utf8.prefix(remainingBytes))
            var scanner = AuthChallengeScanner(bytes: bytes, isCut: bytes.count < value.utf8.count)
            challenges += scanner.run(limit: maximumChallenges - challenges.count)
            remainingBytes -= bytes.count
        }
        return challenges
    }
}
